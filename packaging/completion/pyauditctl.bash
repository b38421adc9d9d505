# SPDX-License-Identifier: Apache-2.0
# Completion of pyauditctl(1) for bash; installed as
# share/bash-completion/completions/pyauditctl.

# Words of a list that is separated by commas: --record exec,fi<TAB>.
_pyauditctl_classes()
{
	local classes="exec file network import native code unpickle startup tamper process all"
	local done="" class
	[[ $cur == *,* ]] && done="${cur%,*},"
	COMPREPLY=()
	for class in $classes; do
		[[ $done$class == "$cur"* ]] && COMPREPLY+=("$done$class")
	done
	compopt -o nospace
}

_pyauditctl_files()
{
	compopt -o filenames
	mapfile -t COMPREPLY < <(compgen "$1" -- "$cur")
}

# `run`: our options, then a command with a completion of its own.
_pyauditctl_run()
{
	local i=2
	while ((i < COMP_CWORD)); do
		case ${COMP_WORDS[i]} in
		--rules | --record | --json | --capture | --profile) ((i += 2)) ;;
		--) ((i++)); break ;;
		-*) ((i++)) ;;
		*) break ;;
		esac
	done
	if ((i < COMP_CWORD)); then
		if declare -F _command_offset >/dev/null; then
			_command_offset "$i"
		elif declare -F _comp_command_offset >/dev/null; then
			_comp_command_offset "$i"
		else
			_pyauditctl_files -f
		fi
	elif ((i > COMP_CWORD)); then # the value of an option
		case $prev in
		--record) _pyauditctl_classes ;;
		--profile) mapfile -t COMPREPLY < <(compgen -W "server build agent audit" -- "$cur") ;;
		*) _pyauditctl_files -f ;;
		esac
	elif [[ $cur == -* && $prev != -- ]]; then
		mapfile -t COMPREPLY < <(compgen -W "--rules --no-default-rules --profile --observe --record
			--json --capture --quiet --help --" -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -c -- "$cur")
	fi
}

_pyauditctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local words=""
	COMPREPLY=()

	if ((COMP_CWORD == 1)); then
		words="run tail status reload rules capture replay learn events top report metrics config ps mode pause resume enable disable activate deactivate help --help --version"
	elif [[ ${COMP_WORDS[1]} == run ]]; then
		_pyauditctl_run
		return
	elif [[ $prev == --dir ]]; then
		_pyauditctl_files -d
		return
	else
		case ${COMP_WORDS[1]} in
		tail) words="--json --since --dir --no-reconnect --help" ;;
		status | metrics) words="--json --dir --help" ;;
		reload | resume) words="--dir --help" ;;
		top) words="--interval --once --json --dir --help" ;;
		report)
			case $prev in
			--by) words="rule script unit package user technique" ;;
			--file) _pyauditctl_files -f; return ;;
			--directory) _pyauditctl_files -d; return ;;
			*) words="--since --until --by --json --csv --html --file --directory --help" ;;
			esac
			;;
		config)
			if ((COMP_CWORD == 2)); then
				words="show --help"
			elif [[ $prev == --config ]]; then
				_pyauditctl_files -f
				return
			else
				words="--json --config --dir --help"
			fi
			;;
		events) words="--json --help @exec @file @network @import @native @code @unpickle @startup @tamper @process" ;;
		ps) words="--json --all --dir --help" ;;
		mode) words="observe enforce --rule --file --unit --host --dir --help" ;;
		pause) words="--for --dir --help" ;;
		help) words="run tail status reload rules capture replay learn events top report metrics config ps mode pause resume enable disable activate deactivate" ;;
		enable | disable)
			case $prev in
			--mode) words="observe enforce" ;;
			--profile) words="server build agent audit" ;;
			--root) _pyauditctl_files -d; return ;;
			*)
				if [[ $cur == -* ]]; then
					words="--user --host --restart --root --dry-run --help"
					[[ ${COMP_WORDS[1]} == enable ]] && words+=" --mode --profile" || words+=" --all"
				else
					words=$(systemctl list-unit-files --no-legend --type=service 2>/dev/null |
						sed 's/ .*//')
				fi
				;;
			esac
			;;
		activate | deactivate)
			if [[ $cur == -* ]]; then
				words="--dry-run --help"
			else
				_pyauditctl_files -f
				return
			fi
			;;
		capture | replay | learn)
			if [[ $cur != -* ]]; then
				_pyauditctl_files -f
				return
			fi
			words="--filter --since --for --dir --quiet --help"
			[[ ${COMP_WORDS[1]} == replay ]] &&
				words="--rules --no-default-rules --profile --observe --all --check --json --help"
			[[ ${COMP_WORDS[1]} == learn ]] && words="--script --live --for --dir --output --help"
			;;
		rules)
			if ((COMP_CWORD == 2)); then
				words="check test list show explain schema --help"
			elif [[ $cur == -* ]]; then
				words="--json --help"
				case ${COMP_WORDS[2]} in
				test) words+=" --coverage" ;;
				check) words+=" --strict --notes" ;;
				list) words+=" --dir" ;;
				explain) words+=" --proc --caller --layer --capture --event --rules
					--no-default-rules --observe --all" ;;
				esac
			else
				_pyauditctl_files -f
				return
			fi
			;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _pyauditctl pyauditctl

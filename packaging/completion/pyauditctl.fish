# SPDX-License-Identifier: Apache-2.0
# Completion of pyauditctl(1) for fish; installed as share/fish/vendor_completions.d/pyauditctl.fish.
# Commands and options are those that --help shows.

function __pyauditctl_commands
	pyauditctl --help 2>/dev/null | string match -rg '^  ([a-z][a-z-]*)(?: [A-Z|.-]+)* +(.*)$' |
		while read -l name
			read -l what
			printf '%s\t%s\n' $name $what
		end
end

function __pyauditctl_options
	set -l words (commandline -opc)
	pyauditctl $words[2] --help 2>/dev/null | string match -rg '^  (--[a-z][a-z-]*)[^ ]*(?: [A-Za-z|.-]+)?  +(.*)$' |
		while read -l name
			read -l what
			printf '%s\t%s\n' $name $what
		end
end

function __pyauditctl_is
	set -l words (commandline -opc)
	test (count $words) -gt 1; and contains -- $words[2] $argv
end

function __pyauditctl_has_no_command
	test (count (commandline -opc)) -lt 2
end

complete -c pyauditctl -n __pyauditctl_has_no_command -f -a '(__pyauditctl_commands)'
complete -c pyauditctl -n __pyauditctl_has_no_command -f -l help -d 'show help'
complete -c pyauditctl -n __pyauditctl_has_no_command -f -l version -d 'show the version'
complete -c pyauditctl -n 'not __pyauditctl_has_no_command; and string match -q -- "-*" (commandline -ct)' \
	-f -a '(__pyauditctl_options)'
complete -c pyauditctl -n '__pyauditctl_is rules' -f -a 'check test list'
complete -c pyauditctl -n '__pyauditctl_is rules activate deactivate' -F
complete -c pyauditctl -n '__pyauditctl_is enable disable' -f \
	-a '(systemctl list-unit-files --no-legend --type=service 2>/dev/null | string replace -r " .*" "")'
complete -c pyauditctl -n '__pyauditctl_is run' -F -a '(__fish_complete_subcommand)'

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Acceptance in a fresh minimal Debian 12: tests/container.sh [readme|root|user|journal|store|shell] [COMMAND...]
#
#   readme   (default) root, then user
#   root     unpacks a debootstrap'ed minbase with git and nothing else, clones the committed tree into
#            it and runs both commands of the README there as root
#   user     the same as an ordinary user with sudo
#   journal  boots systemd in it, builds and installs there as docs/INSTALL.md says, starts pyauditd by its
#            unit, and looks a refused act up in the real journal
#   store    boots it the same way, kills the unit's daemon 100 times under 200,000 events a second of 20
#            processes (PYAUDIT_TRANSPORT_RATE), and accounts for every event; with rings of 4M each
#            (PYAUDIT_TRANSPORT_RING), nothing may be lost. It writes 8 GB of events in 35 seconds: where the
#            disk holds that up, TMPDIR says where else (a tmpfs of 10 GB)
#   shell    a shell, or COMMAND, in such a container with the clone in /root/pyaudit
#
# Needs root (asks sudo for it) and debootstrap. The base system is kept as a tarball in
# ${XDG_CACHE_HOME:-~/.cache}/pyaudit; remove it to have it made anew. apt inside uses the sources of this
# machine where it is a Debian 12 too, otherwise from PYAUDIT_MIRROR.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
mode=${1:-readme}
[ $# -eq 0 ] || shift

if [ "$(id -u)" -ne 0 ]; then
	exec sudo -- env ${XDG_CACHE_HOME:+"XDG_CACHE_HOME=$XDG_CACHE_HOME"} "HOME=$HOME" \
		sh "$0" "$mode" "$@"
fi
command -v debootstrap >/dev/null || {
	echo "container.sh: debootstrap is missing (apt-get install debootstrap)" >&2
	exit 2
}

. "$here/tests/containers.sh"

as_root() {
	say "as root"
	unpack "$work/root" bookworm
	clone "$work/root/root/pyaudit"
	status=0
	enter "$work/root" sh -c 'cd /root/pyaudit && exec sh packaging/try.sh </dev/null' || status=$?
	report "try.sh as root" $status
	status=0
	enter "$work/root" sh -c 'cd /root/pyaudit && exec sh tests/run.sh </dev/null' || status=$?
	report "run.sh as root" $status
	rm -rf --one-file-system "$work/root"
}

as_user() {
	say "as an ordinary user with sudo"
	unpack "$work/user" bookworm
	enter "$work/user" sh -c '
		export DEBIAN_FRONTEND=noninteractive
		apt-get -qq update && apt-get -qq install -y --no-install-recommends sudo >/dev/null 2>&1 &&
		useradd -m -s /bin/bash alice && echo "alice ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/alice'
	clone "$work/user/home/alice/pyaudit" "$(awk -F: '$1 == "alice" { print $3 ":" $4 }' "$work/user/etc/passwd")"
	status=0
	enter "$work/user" su - alice -c 'cd pyaudit && exec sh packaging/try.sh </dev/null' || status=$?
	report "try.sh as a user" $status
	status=0
	enter "$work/user" su - alice -c 'cd pyaudit && exec sh tests/run.sh </dev/null' || status=$?
	report "run.sh as a user" $status
}

booted() { # booted NAME COMMAND [PACKAGE...]: as its only unit in a booted system with the clone
	name=$1
	command=$2
	shift 2
	say "a container with systemd"
	unpack "$work/$name" bookworm
	clone "$work/$name/root/pyaudit"
	enter "$work/$name" sh -ec '
		export DEBIAN_FRONTEND=noninteractive
		apt-get -qq update
		apt-get -qq install -y --no-install-recommends systemd systemd-sysv dbus python3 cmake gcc libc6-dev make \
			pkg-config libevent-dev libcjson-dev libsystemd-dev '"$*"' >/dev/null 2>&1
		mkdir -p /var/log/journal'
	cat >"$work/$name/etc/systemd/system/pyaudit-acceptance.service" <<-UNIT
		[Unit]
		Description=pyauditd acceptance test
		After=multi-user.target
		[Service]
		Type=oneshot
		ExecStart=/bin/sh -c '$command >/root/out 2>&1; echo \$? >/root/status'
		ExecStopPost=/bin/systemctl --no-block --force poweroff
		TimeoutStartSec=900
		[Install]
		WantedBy=default.target
	UNIT
	mkdir -p "$work/$name/etc/systemd/system/default.target.wants"
	ln -sf /etc/systemd/system/pyaudit-acceptance.service \
		"$work/$name/etc/systemd/system/default.target.wants/pyaudit-acceptance.service"
	: >"$work/$name/etc/machine-id"
	say "booting it"
	timeout 1200 $nspawn -b -D "$work/$name" --console=read-only </dev/null >"$work/boot.log" 2>&1 || :
	if [ -s "$work/$name/root/status" ]; then
		cat "$work/$name/root/out"
		report "$name" "$(cat "$work/$name/root/status")"
	else
		echo "container.sh: systemd did not boot here:" >&2
		tail -n 30 "$work/boot.log" >&2
		report "$name" 77
	fi
}

case $mode in
readme)
	as_root
	as_user
	;;
root) as_root ;;
user) as_user ;;
journal) booted journal "python3 -B /root/pyaudit/tests/journal.py" ;;
store)
	booted store "PYAUDIT_TRANSPORT_RATE=${PYAUDIT_TRANSPORT_RATE:-200000} PYAUDIT_TRANSPORT_RING=${PYAUDIT_TRANSPORT_RING:-4M} sh /root/pyaudit/tests/store.sh" python3-pytest
	;;
shell)
	unpack "$work/shell" bookworm
	clone "$work/shell/root/pyaudit"
	[ $# -gt 0 ] || set -- bash -l
	if can_nspawn "$work/shell"; then
		$nspawn --as-pid2 -D "$work/shell" "$@" || result=$?
	else
		enter "$work/shell" "$@" || result=$?
	fi
	;;
*)
	sed -n '3,22s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac

if [ -s "$work/report" ]; then
	say result
	cat "$work/report"
fi
exit $result

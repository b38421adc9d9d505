#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Acceptance in a fresh minimal Debian 12: tests/container.sh [readme|root|user|journal|shell] [COMMAND...]
#
#   readme   (default) root, then user
#   root     unpacks a debootstrap'ed minbase with git and nothing else, clones the committed tree into
#            it and runs both commands of the README there as root
#   user     the same as an ordinary user with sudo
#   journal  boots systemd in it, installs the build, starts pyauditd by its unit, and looks a
#            refused act up in the real journal
#   shell    a shell, or COMMAND, in such a container with the clone in /root/pyaudit
#
# Needs root (asks sudo for it) and debootstrap. The base system is kept as a tarball in
# ${XDG_CACHE_HOME:-~/.cache}/pyaudit; remove it to have it made anew. apt inside uses the sources of this
# machine where it is a Debian 12 too, otherwise from PYAUDIT_MIRROR.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
mode=${1:-readme}
[ $# -eq 0 ] || shift
suite=bookworm

if [ "$(id -u)" -ne 0 ]; then
	exec sudo -- env ${XDG_CACHE_HOME:+"XDG_CACHE_HOME=$XDG_CACHE_HOME"} "HOME=$HOME" \
		sh "$0" "$mode" "$@"
fi
command -v debootstrap >/dev/null || {
	echo "container.sh: debootstrap is missing (apt-get install debootstrap)" >&2
	exit 2
}

say() { printf '\n=== %s\n' "$*"; }

same_debian=no
if [ -r /etc/os-release ] && [ "$(. /etc/os-release; echo "${VERSION_CODENAME:-}")" = $suite ]; then
	same_debian=yes
fi

mirror() {
	if [ -n "${PYAUDIT_MIRROR:-}" ]; then
		echo "$PYAUDIT_MIRROR"
		return
	fi
	found=
	if [ $same_debian = yes ]; then
		found=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null |
			sed -n 's/^URIs: *\([^ ]*\).*/\1/p' | grep -v security | head -n 1)
		[ -n "$found" ] || found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
			sed -n 's/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\).*/\2/p' | head -n 1)
	fi
	[ -n "$found" ] || {
		echo "container.sh: set PYAUDIT_MIRROR to a Debian mirror: this machine's own sources name none" >&2
		exit 2
	}
	echo "$found"
}

cache=${XDG_CACHE_HOME:-$HOME/.cache}/pyaudit
base=$cache/debian-12-minbase-$(uname -m).tar
work=$(mktemp -d "${TMPDIR:-/var/tmp}/pyaudit-container.XXXXXX")

# Nothing of the container may stay mounted below a directory that is about to be removed.
cleanup() {
	awk -v w="$work/" 'index($2, w) == 1 { print $2 }' /proc/mounts | sort -r |
		while read -r m; do umount -l "$m" || :; done
	if awk -v w="$work/" 'index($2, w) == 1 { found = 1 } END { exit !found }' /proc/mounts; then
		echo "container.sh: something is still mounted below $work, left alone" >&2
	else
		rm -rf --one-file-system "$work"
	fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

if [ ! -s "$base" ]; then
	say "debootstrap $suite into $base"
	mkdir -p "$cache"
	from=$(mirror)
	debootstrap --variant=minbase --include=ca-certificates,git $suite "$work/base" "$from" \
		>"$work/debootstrap.log" 2>&1 || { tail -n 20 "$work/debootstrap.log" >&2; exit 2; }
	rm -rf "$work/base/var/cache/apt/archives"/*.deb
	tar -C "$work/base" -cf "$base.new" . && mv "$base.new" "$base"
	rm -rf --one-file-system "$work/base"
fi

# unpack DIR: the base system, with this machine's way to packages and names
unpack() {
	mkdir -p "$1"
	tar -C "$1" -xf "$base"
	if [ $same_debian = yes ] && [ -z "${PYAUDIT_MIRROR:-}" ]; then
		rm -f "$1/etc/apt/sources.list"
		for part in sources.list sources.list.d apt.conf apt.conf.d auth.conf.d keyrings trusted.gpg.d; do
			[ ! -e /etc/apt/$part ] || cp -a /etc/apt/$part "$1/etc/apt/"
		done
		for key in /usr/share/keyrings/*; do
			[ ! -e "$key" ] || cp -n "$key" "$1/usr/share/keyrings/"
		done
	fi
	if [ -d /usr/local/share/ca-certificates ]; then
		mkdir -p "$1/usr/local/share/ca-certificates"
		cp -rL /usr/local/share/ca-certificates/. "$1/usr/local/share/ca-certificates/"
	fi
	cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/" 2>/dev/null || :
	cp -L /etc/resolv.conf "$1/etc/resolv.conf" 2>/dev/null || :
	cp -L /etc/hosts "$1/etc/hosts" 2>/dev/null || :
	env | grep -i '^\(http\|https\|no\|ftp\)_proxy=' >"$1/etc/environment" || :
}

clone() { # clone DIR OWNER
	git -c safe.directory="*" clone -q --no-hardlinks "$here" "$1"
	[ -z "${2:-}" ] || chown -R "$2" "$1"
}

nspawn="systemd-nspawn --quiet --hostname=localhost --register=no --keep-unit --resolv-conf=off --timezone=off"
can_nspawn() {
	command -v systemd-nspawn >/dev/null && $nspawn --as-pid2 -D "$1" true >/dev/null 2>&1
}

# enter DIR COMMAND...: in the container, no stdin
enter() {
	root=$1
	shift
	set -- env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		$(cat "$root/etc/environment") "$@"
	if [ -z "${enter_by:-}" ]; then
		if can_nspawn "$root"; then enter_by=nspawn; else enter_by=chroot; fi
		echo "container.sh: entering by $enter_by"
	fi
	if [ $enter_by = nspawn ]; then
		$nspawn --as-pid2 -D "$root" --pipe "$@"
	else
		unshare --mount --pid --fork --kill-child sh -c '
			root=$1; shift
			mount --make-rprivate /
			mount -t proc proc "$root/proc"
			mount --rbind /sys "$root/sys"
			mount --rbind /dev "$root/dev"
			mount -t tmpfs tmpfs "$root/run"
			exec chroot "$root" "$@"' sh "$root" "$@"
	fi
}

result=0
report() { # report WHAT STATUS
	if [ "$2" -eq 0 ]; then echo "PASS $1"; else echo "FAIL $1 (exit status $2)"; result=1; fi |
		tee -a "$work/report"
	[ "$2" -eq 0 ] || result=1
}

as_root() {
	say "as root"
	unpack "$work/root"
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
	unpack "$work/user"
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

journal() {
	say "a container with systemd"
	unpack "$work/journal"
	clone "$work/journal/root/pyaudit"
	enter "$work/journal" sh -ec '
		export DEBIAN_FRONTEND=noninteractive
		apt-get -qq update
		apt-get -qq install -y --no-install-recommends systemd systemd-sysv dbus python3 cmake gcc libc6-dev make \
			pkg-config libevent-dev libcjson-dev libsystemd-dev >/dev/null 2>&1
		cd /root/pyaudit
		cmake --preset release -DPYAUDIT_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr >/dev/null
		cmake --build build/release -j"$(nproc)" >/dev/null
		cmake --install build/release >/dev/null
		# What the scripts of a package would do.
		systemd-sysusers >/dev/null 2>&1 || :
		journalctl --update-catalog >/dev/null 2>&1 || :
		mkdir -p /var/log/journal'
	cp "$here/tests/journal.py" "$work/journal/root/journal.py"
	cat >"$work/journal/etc/systemd/system/pyaudit-acceptance.service" <<-'UNIT'
		[Unit]
		Description=pyauditd acceptance test
		After=multi-user.target
		[Service]
		Type=oneshot
		ExecStart=/bin/sh -c 'python3 /root/journal.py >/root/journal.out 2>&1; echo $? >/root/journal.status'
		ExecStopPost=/bin/systemctl --no-block --force poweroff
		TimeoutStartSec=120
		[Install]
		WantedBy=default.target
	UNIT
	mkdir -p "$work/journal/etc/systemd/system/default.target.wants"
	ln -sf /etc/systemd/system/pyaudit-acceptance.service \
		"$work/journal/etc/systemd/system/default.target.wants/pyaudit-acceptance.service"
	: >"$work/journal/etc/machine-id"
	say "booting it"
	timeout 300 $nspawn -b -D "$work/journal" --console=read-only </dev/null >"$work/boot.log" 2>&1 || :
	if [ -s "$work/journal/root/journal.status" ]; then
		cat "$work/journal/root/journal.out"
		report journal "$(cat "$work/journal/root/journal.status")"
	else
		echo "container.sh: systemd did not boot here:" >&2
		tail -n 30 "$work/boot.log" >&2
		report journal 77
	fi
}

case $mode in
readme)
	as_root
	as_user
	;;
root) as_root ;;
user) as_user ;;
journal) journal ;;
shell)
	unpack "$work/shell"
	clone "$work/shell/root/pyaudit"
	[ $# -gt 0 ] || set -- bash -l
	if can_nspawn "$work/shell"; then
		$nspawn --as-pid2 -D "$work/shell" "$@" || result=$?
	else
		enter "$work/shell" "$@" || result=$?
	fi
	;;
*)
	sed -n '3,19s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac

if [ -s "$work/report" ]; then
	say result
	cat "$work/report"
fi
exit $result

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Acceptance of the Debian packages: tests/packages.sh [SUITE...] (bookworm trixie)
#
# For each suite: builds the packages of the committed tree in a container of it and asks lintian; boots another
# one with systemd and a gunicorn+Flask service, installs them there, and attacks the service over HTTP: before,
# enabled, across an upgrade and a restart of the daemon, after a reboot, disabled, and after a purge, when the
# file system is compared with before. tests/packages.py is what happens and what must hold.
#
# Needs root (asks sudo for it), debootstrap and systemd-nspawn. What systems are made of is kept as tarballs
# in ${XDG_CACHE_HOME:-~/.cache}/pyaudit; remove them to have them made anew. Where packages come from: see
# tests/container.sh. Takes about five minutes a suite. PYAUDIT_KEEP=DIR keeps the packages in
# DIR, PYAUDIT_PACKAGES=DIR takes what was kept there instead of building.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
case ${1:-} in
-h | --help)
	sed -n '3,15s/^# \{0,1\}//p' "$0"
	exit 0
	;;
esac
if [ "$(id -u)" -ne 0 ]; then
	exec sudo -- env ${XDG_CACHE_HOME:+"XDG_CACHE_HOME=$XDG_CACHE_HOME"} ${PYAUDIT_KEEP:+"PYAUDIT_KEEP=$PYAUDIT_KEEP"} \
		${PYAUDIT_PACKAGES:+"PYAUDIT_PACKAGES=$PYAUDIT_PACKAGES"} \
		"HOME=$HOME" sh "$0" "$@"
fi
for program in debootstrap systemd-nspawn nsenter journalctl; do
	command -v $program >/dev/null || {
		echo "packages.sh: $program is missing (apt-get install debootstrap systemd-container)" >&2
		exit 2
	}
done
[ $# -gt 0 ] || set -- bookworm trixie
. "$here/tests/containers.sh"
. "$here/tests/images.sh"

build() { # build SUITE DIR: packages, and the same with a lower version; on bookworm, whose rpmlint is recent, RPMs
	unpack "$work/build" "$1" "$(build_image "$1" $([ "$1" != bookworm ] || echo rpm rpmlint))"
	clone "$work/build/root/pyaudit" || return 1
	said=$(python3 "$here/tests/documents.py" INSTALL.md "Debian 12 and 13" | sed -n 1p)
	enter "$work/build" sh -c '
		cd /root/pyaudit && eval "$1" >/root/log 2>&1 || { tail -n 40 /root/log; exit 1; }
		mv build/deb /root/new
		cd /root/new && lintian --allow-root --fail-on error,warning --tag-display-limit 0 *.changes || exit 1
		echo "ok: lintian $(lintian --print-version) says nothing of $(ls *.changes)"
		apparmor_parser -Q -K /root/pyaudit/packaging/apparmor/usr.sbin.pyauditd 2>/root/log || { cat /root/log; exit 1; }
		echo "ok: apparmor_parser compiles the profile"
		mkdir /root/old
		for deb in *.deb; do
			case $deb in *dbgsym*) continue ;; esac
			dpkg-deb -R "$deb" /root/tree
			sed -i "s/0\.1\.0-/0.0.9-/" /root/tree/DEBIAN/control
			dpkg-deb -b /root/tree "/root/old/${deb%%_*}.deb" >/dev/null
			rm -rf /root/tree
		done
		command -v rpmlint >/dev/null || exit 0
		cd /root/pyaudit && eval "$2" >/root/log 2>&1 || { tail -n 40 /root/log; exit 1; }
		tail -n 1 /root/log
		grep -q "checked; 0 errors, 0 warnings" /root/log || { tail -n 20 /root/log; exit 1; }
		rpm -qlp build/rpm/RPMS/*/pyauditd-0*.rpm | grep -q "^/usr/share/pyaudit/profiles/agent.json" || exit 1
		echo "ok: rpmbuild builds the spec, rpmlint says nothing of it"' \
		sh "$said" "$(python3 "$here/tests/documents.py" INSTALL.md "RPM")" </dev/null || return 1
	mkdir -p "$2"
	cp -r "$work/build/root/new" "$work/build/root/old" "$2/"
	rm -rf --one-file-system "$work/build"
}

keep() { # keep COMMAND...: with its status; what it says is said, and kept for the end
	{ "$@" && echo 0 >"$work/status" || echo $? >"$work/status"; } 2>&1 | tee -a "$work/said"
	return "$(cat "$work/status")"
}

for suite; do
	say "$suite: packages"
	echo "$suite:" >>"$work/said"
	status=0
	started=$(date +%s)
	if [ -n "${PYAUDIT_PACKAGES:-}" ]; then
		cp -r "$PYAUDIT_PACKAGES/$suite" "$work/packages-$suite"
	else
		keep build "$suite" "$work/packages-$suite" || status=$?
		report "$suite: the packages build, lintian has no error and no warning ($(($(date +%s) - started)) s)" $status
	fi
	[ $status -eq 0 ] || continue
	if [ -n "${PYAUDIT_KEEP:-}" ]; then
		mkdir -p "$PYAUDIT_KEEP"
		cp -r "$work/packages-$suite" "$PYAUDIT_KEEP/$suite"
	fi

	say "$suite: a host"
	host=$work/host-$suite
	unpack "$host" "$suite" "$(image "$suite" host systemd systemd-sysv dbus python3-flask gunicorn zsh logrotate)"
	# Where docs/INSTALL.md and docs/UPGRADING.md have them.
	mkdir -p "$host/root/old/build/deb" "$host/root/new"
	for name in pyauditd libpyaudit-agent; do
		cp "$work/packages-$suite/old/$name"[._]*deb "$host/root/old/build/deb/${name}_old.deb"
		cp "$work/packages-$suite/new/$name"[._]*deb "$host/root/new/${name}_new.deb"
	done
	status=0
	keep timeout 1200 python3 -B "$here/tests/packages.py" "$host" || status=$?
	report "$suite: the packages on a host" $status
	rm -rf --one-file-system "$host"
done

say result
grep '^[a-z]*:$\|^ok: .*\(lintian\|rpmlint\|three commands\|systemd-analyze\|files compared\|reported\)' "$work/said" || :
cat "$work/report"
exit $result

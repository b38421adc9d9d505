#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Acceptance of central collection: tests/fleet.sh
#
# Builds the Debian packages in a Debian 13, boots two of them, and makes 1,000 alerts on host A while host B is down
# for a part of the time. All of them have to reach host B with their typed fields over TLS: by systemd-journal-upload
# and systemd-journal-remote, and by rsyslog, set up as docs/FLEET.md says. tests/fleet.py is what happens and what must hold.
#
# Needs root (asks sudo for it), debootstrap and systemd-nspawn; see tests/packages.sh for what is kept and where
# packages come from. PYAUDIT_PACKAGES=DIR takes packages that are built already. Takes about five minutes.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
case ${1:-} in
-h | --help)
	sed -n '3,10s/^# \{0,1\}//p' "$0"
	exit 0
	;;
esac
if [ "$(id -u)" -ne 0 ]; then
	exec sudo -- env ${XDG_CACHE_HOME:+"XDG_CACHE_HOME=$XDG_CACHE_HOME"} \
		${PYAUDIT_PACKAGES:+"PYAUDIT_PACKAGES=$PYAUDIT_PACKAGES"} "HOME=$HOME" sh "$0" "$@"
fi
for program in debootstrap systemd-nspawn nsenter journalctl openssl; do
	command -v $program >/dev/null || {
		echo "fleet.sh: $program is missing (apt-get install debootstrap systemd-container openssl)" >&2
		exit 2
	}
done
. "$here/tests/containers.sh"
. "$here/tests/images.sh"

say "trixie: packages"
built_packages trixie "$work/packages"
tarball=$(image trixie fleet systemd systemd-sysv dbus systemd-journal-remote openssl rsyslog rsyslog-gnutls python3)
for name in a b; do
	unpack "$work/$name" trixie "$tarball"
done
cp "$work/packages"/pyauditd_*.deb "$work/packages"/libpyaudit-agent_*.deb "$work/a/root/"

say "two hosts"
status=0
timeout 900 python3 -B "$here/tests/fleet.py" "$work/a" "$work/b" || status=$?
report "1,000 alerts of host A are found on host B" $status

say result
cat "$work/report"
exit $result

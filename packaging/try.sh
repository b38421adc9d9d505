#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds pyauditd and shows it at work: sh packaging/try.sh [-- COMMAND...]
#
# Installs what the build needs (Debian, Ubuntu, Fedora; sudo only if something is missing), builds into
# build/try, installs nothing else, and runs COMMAND, or a small example, under `pyauditctl run`: its
# security events as they happen, an act refused, a summary.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
build=$here/build/try
. "$here/packaging/deps.sh"

case ${1:-} in
--) shift ;;
-h | --help)
	sed -n '3,7s/^# \{0,1\}//p' "$0"
	exit 0
	;;
esac

# One package run in place of two where nothing is there yet.
command -v cmake >/dev/null 2>&1 && command -v cc >/dev/null 2>&1 && command -v pkg-config >/dev/null 2>&1 ||
	deps_install cmd=cc:gcc:gcc file=/usr/include/stdio.h:libc6-dev:glibc-devel cmd=make:make:make \
		cmd=cmake:cmake:cmake cmd=pkg-config:pkg-config:pkgconf-pkg-config \
		file=/usr/include/event2/event.h:libevent-dev:libevent-devel \
		file=/usr/include/cjson/cJSON.h:libcjson-dev:cjson-devel \
		file=/usr/include/systemd/sd-daemon.h:libsystemd-dev:systemd-devel \
		file=/usr/bin/python3:python3:python3
deps_build

log=$build.log
mkdir -p "$here/build"
echo "Building in ${build#"$PWD"/} ..."
if ! { cmake -S "$here" -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPYAUDIT_TESTS=OFF &&
	cmake --build "$build" -j "$(nproc)"; } >"$log" 2>&1 </dev/null; then
	tail -n 40 "$log" >&2
	echo "The build failed; all of its output is in $log" >&2
	exit 1
fi

if [ $# -gt 0 ]; then
	exec "$build/bin/pyauditctl" run -- "$@"
fi
echo "\$ pyauditctl run --rules packaging/example/rules.json -- python3 packaging/example/thumbnails.py"
exec "$build/bin/pyauditctl" run --rules "$here/packaging/example/rules.json" -- \
	/usr/bin/python3 "$here/packaging/example/thumbnails.py"

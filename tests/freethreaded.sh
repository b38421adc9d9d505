#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds a free-threaded CPython from Debian's own source package, and runs end-to-end tests on it:
# tests/freethreaded.sh [3.13|3.14|3.15] [PYTEST ARGUMENT...]
#
# The source is that of trixie for 3.13, of sid for newer ones (or PYAUDIT_SUITE), configured with --disable-gil, for
# Debian has no such package. It is built once, into ${XDG_CACHE_HOME:-~/.cache}/pyaudit/freethreaded-N; remove that
# to have it made anew. Takes minutes of every core. PYAUDIT_BUILD is the build under test (build/release).
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
version=3.13
case ${1:-} in
3.*) version=$1; shift ;;
-h | --help) sed -n '3,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
case $version in 3.13) suite=trixie ;; *) suite=sid ;; esac
suite=${PYAUDIT_SUITE:-$suite}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pyaudit
prefix=$cache/freethreaded-$version
python=$prefix/bin/python${version}t
. "$here/packaging/deps.sh"

# apt with a configuration of its own: this machine's sources stay as they are.
fetch_source() {
	mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/etc/preferences.d" "$work/etc/trusted.gpg.d"
	for keys in /etc/apt/trusted.gpg.d/* /usr/share/keyrings/debian-archive-*; do
		[ ! -e "$keys" ] || cp "$keys" "$work/etc/trusted.gpg.d/"
	done
	echo "deb-src ${PYAUDIT_MIRROR:-http://deb.debian.org/debian} $suite main" >"$work/etc/sources.list"
	set -- -qq -o "Dir::Etc=$work/etc" -o "Dir::Etc::sourcelist=$work/etc/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o "Dir::State=$work/state" -o "Dir::State::lists=$work/state/lists" -o "Dir::Cache=$work/cache" \
		-o "Dir::Etc::trustedparts=$work/etc/trusted.gpg.d" -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=no
	apt-get "$@" update
	# Without Debian's patches: one of them has site look for packages where this build has none.
	(cd "$work" && apt-get "$@" source --download-only --only-source "python$version" &&
		dpkg-source --skip-patches -x "python${version}_"*.dsc)
}

build() {
	deps_install cmd=cc:gcc:gcc cmd=make:make:make cmd=dpkg-source:dpkg-dev:dpkg-dev cmd=pkg-config:pkg-config:pkgconf-pkg-config \
		hdr=zlib.h:zlib1g-dev:zlib-devel hdr=ffi.h:libffi-dev:libffi-devel hdr=openssl/ssl.h:libssl-dev:openssl-devel \
		hdr=sqlite3.h:libsqlite3-dev:sqlite-devel
	work=$(mktemp -d "${TMPDIR:-/var/tmp}/pyaudit-freethreaded.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	fetch_source
	cd "$work/python$version"-*/
	./configure --prefix="$prefix" --disable-gil --without-ensurepip --disable-test-modules CFLAGS=-O1 >"$work/configure.log" 2>&1 ||
		{ tail -n 30 "$work/configure.log" >&2; exit 2; }
	make -j"$(nproc)" >"$work/make.log" 2>&1 || { tail -n 30 "$work/make.log" >&2; exit 2; }
	make install >"$work/install.log" 2>&1 || { tail -n 30 "$work/install.log" >&2; exit 2; }
	cd "$here"
}

[ -x "$python" ] || build
"$python" -VV
[ "$("$python" -c 'import sys; print(sys._is_gil_enabled())')" = False ] || { echo "freethreaded.sh: it has a GIL" >&2; exit 2; }

cd "$here/tests/e2e"
# In tests of containers and of other users the interpreter would have to be where others can read it.
[ $# -gt 0 ] || set -- . --ignore=test_container.py --ignore=test_users.py
PYAUDIT_INTERPRETERS=$python PYAUDIT_EVERY=1 exec /usr/bin/python3 -B -m pytest -p no:cacheprovider -q -rs --tb=short "$@"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the Debian packages: sh packaging/deb.sh [-v VERSION] [DIRECTORY]
#
# Debian's tools want `debian` at the top of a source tree whose name has the version in it. This makes such a
# tree of the files that git knows (or of all of them, in an unpacked archive) in DIRECTORY, build/deb by default, with
# packaging/debian in its place, and leaves source package, packages and debug symbols there. VERSION is another
# upstream version than the changelog's. Build dependencies: packaging/debian/control; `mk-build-deps`, or
# apt-get build-dep ./DIRECTORY/*.dsc, installs them.
set -eu

version=
case ${1:-} in
-h | --help)
	sed -n '3,10s/^# \{0,1\}//p' "$0"
	exit 0
	;;
-v)
	version=$2
	shift 2
	;;
esac

here=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$here/build/deb}
changelog=$here/packaging/debian/changelog
first=$(sed -n '1s/^[^(]*(\([^)]*\)).*/\1/p' "$changelog")
[ -n "$version" ] || version=${first%-*}
tree=$out/pyaudit-$version

mkdir -p "$out"
out=$(cd "$out" && pwd)
rm -rf "$tree"
mkdir "$tree"
cd "$here"
if git -c safe.directory="*" rev-parse --git-dir >/dev/null 2>&1; then
	git -c safe.directory="*" ls-files -z
else
	find . -path ./build -prune -o -type f -print0
fi | tar --null -T - -cf - | tar -C "$tree" -xf -

cd "$tree"
mv packaging/debian "$out/debian.$$"
tar -C .. --owner=0 --group=0 --sort=name --mtime="$(sed -n 's/^ -- .*>  //p' "$out/debian.$$/changelog" | head -n 1)" \
	-cJf "../pyaudit_$version.orig.tar.xz" "pyaudit-$version"
mv "$out/debian.$$" debian
if [ "$version" != "${first%-*}" ]; then
	sed -i "1s/([^)]*)/($version-${first##*-})/" debian/changelog
fi
dpkg-buildpackage -us -uc -j"$(nproc)"

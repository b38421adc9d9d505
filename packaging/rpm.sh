#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the RPM packages: sh packaging/rpm.sh [DIRECTORY]
#
# Makes a source archive of the files that git knows and runs rpmbuild in DIRECTORY, build/rpm by default; the packages
# are in its RPMS and SRPMS; rpmlint is asked where it is installed. Where the build dependencies are no RPM packages (on Debian: rpm, and what
# packaging/deps.sh names), they are not asked for.
set -eu

case ${1:-} in
-h | --help)
	sed -n '3,8s/^# \{0,1\}//p' "$0"
	exit 0
	;;
esac
here=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$here/build/rpm}
mkdir -p "$out/SOURCES"
out=$(cd "$out" && pwd)
spec=$here/packaging/rpm/pyauditd.spec
version=$(sed -n 's/^Version: *//p' "$spec")

cd "$here"
git -c safe.directory="*" ls-files -z | tar --null -T - --transform "s,^,pyauditd-$version/," --owner=0 --group=0 \
	-cJf "$out/SOURCES/pyauditd-$version.tar.xz"
nodeps=
[ ! -e /etc/debian_version ] || nodeps=--nodeps
rpmbuild $nodeps --define "_topdir $out" -ba "$spec"
if command -v rpmlint >/dev/null; then
	rpmlint -r "$here/packaging/rpm/pyauditd.rpmlintrc" "$spec" "$out"/RPMS/*/*.rpm "$out"/SRPMS/*.rpm
fi

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# End-to-end tests with the interpreters of other Debian suites: tests/suites.sh [SUITE]... [-- PYTEST ARGUMENT...]
#
# Each suite is debootstrap'ed, gets every python3.N it has, and runs the tests of this tree on them with the
# build of this machine: the agent, once built, is to work in interpreters that came later. `trixie+sid`, the
# default, is a trixie with sid's interpreters beside; `sid+experimental` is another.
# The summary is pytest's: a table of interpreter and test group.
# PYAUDIT_BUILD is the build under test (build/release). Needs root and debootstrap; takes minutes, and CI does not run it.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${PYAUDIT_BUILD:-$here/build/release}" && pwd)
suites=
while [ $# -gt 0 ]; do
	case $1 in
	--) shift; break ;;
	-h | --help) sed -n '3,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) suites="$suites $1"; shift ;;
	esac
done
[ $# -gt 0 ] || set -- .

if [ "$(id -u)" -ne 0 ]; then
	echo "suites.sh: needs root" >&2
	exit 2
fi
command -v debootstrap >/dev/null || {
	echo "suites.sh: debootstrap is missing (apt-get install debootstrap)" >&2
	exit 2
}
. "$here/tests/containers.sh"

# The base system with the interpreters and what tests need beside them, kept for the next time.
with_pythons() { # with_pythons SUITE [OTHER]
	prepared=$cache/debian-$1${2:+-$2}-pythons-$(uname -m).tar
	echo "$prepared"
	[ ! -s "$prepared" ] || return 0
	say "packages of $1${2:+ and $2}" >&2
	unpack "$work/prepare" "$1"
	[ -z "$2" ] || echo "deb $(mirror) $2 main" >"$work/prepare/etc/apt/sources.list.d/other.list"
	enter "$work/prepare" sh -ec '
		export DEBIAN_FRONTEND=noninteractive
		# A snapshot of a suite, which the mirror may be, is past its date.
		apt-get -qq -o Acquire::Check-Valid-Until=no update
		pythons=$(apt-cache pkgnames python3. | grep -Ex "python3\.[0-9]+(-dev|-venv)?" || :)
		libraries=$(apt-cache pkgnames libpython3. | grep -Ex "libpython3\.[0-9]+" || :)
		# Those of SUITE first: what runs the tests is its own.
		apt-get -qq install -y --no-install-recommends python3 python3-pytest python3-jsonschema python3-cffi python3-flask \
			python3-setuptools python3-venv python3-pip python3-django python3-celery gunicorn python3-prometheus-client \
			uwsgi-plugin-python3 apache2-bin libapache2-mod-wsgi-py3 python3-dev systemd fish bubblewrap git \
			procps strace binutils gcc libc6-dev libevent-core-2.1-7 libcjson1 libsystemd0 >/dev/null
		apt-get -qq install -y --no-install-recommends ${1:+-t "$1"} $pythons $libraries >/dev/null' \
		sh "$2" >&2
	rm -rf "$work/prepare/var/cache/apt/archives"/*.deb
	tar -C "$work/prepare" -cf "$prepared.new" . && mv "$prepared.new" "$prepared"
	rm -rf --one-file-system "$work/prepare"
}

for suite in ${suites:-trixie+sid}; do
	other=
	case $suite in *+*) other=${suite#*+} ;; esac
	tar=$(with_pythons "${suite%+*}" "$other")
	say "$suite"
	unpack "$work/$suite" "${suite%+*}" "$tar"
	mkdir -p "$work/$suite/root/pyaudit/build/under-test/tests"
	(cd "$here" && tar -cf - --exclude=./build --exclude=./.git .) | tar -C "$work/$suite/root/pyaudit" -xf -
	# Rules and profiles are links into the tree.
	for part in bin sbin lib libexec share; do
		cp -RL --preserve=mode,timestamps "$build/$part" "$work/$suite/root/pyaudit/build/under-test/"
	done
	cp "$build"/tests/lib*.so "$work/$suite/root/pyaudit/build/under-test/tests/"
	# .pth lines name the agent by its path.
	sed -i "s|$build|/root/pyaudit/build/under-test|g" "$work/$suite/root/pyaudit/build/under-test/share/pyaudit/activate/"*
	status=0
	enter "$work/$suite" sh -c 'cd /root/pyaudit/tests/e2e && PYAUDIT_BUILD=/root/pyaudit/build/under-test \
		PYAUDIT_EVERY=1 exec python3 -B -m pytest -p no:cacheprovider -q -rs --tb=short "$@"' sh "$@" || status=$?
	report "$suite" $status
	rm -rf --one-file-system "$work/$suite"
done
say result
cat "$work/report"
exit $result

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every test: sh tests/run.sh [release|asan|tsan]...
#
# Installs what the tests need (Debian, Ubuntu, Fedora; sudo only if something is missing), builds the presets
# in build/, runs CTest in each and ends with one summary whose last line is
# `N passed, N failed, N skipped`. Exit status 1 if anything failed.
#
#   release  everything, with every interpreter there is
#   asan     AddressSanitizer and UndefinedBehaviorSanitizer in daemon, tools, unit tests and fuzzers; the
#            agent, a guest of interpreters that are not sanitized, traps undefined behaviour
#   tsan     ThreadSanitizer: unit tests (ring, drain, sinks) and the daemon's end-to-end tests
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
. packaging/deps.sh

case ${1:-} in
-h | --help)
	sed -n '3,13s/^# \{0,1\}//p' "$0"
	exit 0
	;;
esac
[ $# -gt 0 ] || set -- release asan tsan
for preset; do
	case $preset in
	release | asan | tsan) ;;
	*)
		echo "run.sh: unknown preset '$preset': release, asan or tsan" >&2
		exit 2
		;;
	esac
done

started=$(date +%s)
give_up() {
	echo "run.sh: $*"
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
}
step() { printf '=== [%3ds] %s\n' $(($(date +%s) - started)) "$*"; }

# The programs of tests/e2e/test_ordinary.py: what a distribution has not is skipped there.
ordinary_wants() {
	for program in black flake8 mypy pylint isort tox pre-commit virtualenv poetry:python3-poetry cookiecutter \
		meson scons hg:mercurial ipython3 sphinx-build:python3-sphinx mkdocs rst2html:python3-docutils \
		pygmentize:python3-pygments alembic http:httpie borg:borgbackup ansible:ansible-core \
		supervisord:supervisor certbot yt-dlp cython3 python3-coverage git; do
		echo "opt=file=/usr/bin/${program%%:*}:${program#*:}:${program#*:}"
	done
	for module in build numpy scipy pandas matplotlib sklearn sympy networkx joblib dask PIL:pil sqlalchemy lxml \
		yaml jinja2 mako click psutil watchdog apscheduler tornado aiohttp uvicorn fastapi bottle.py:bottle twisted \
		gevent requests paramiko celery nbconvert; do
		echo "opt=file=/usr/lib/python3/dist-packages/${module%%:*}:python3-${module#*:}:python3-${module#*:}"
	done
}

step "packages"
# What is checked by file stands first, so that a bare system gets everything by one transaction.
libgcc=$(cc -print-libgcc-file-name 2>/dev/null || echo /usr/lib/gcc/libgcc.a)
libgcc=${libgcc%/*}
deps_install cmd=cc:gcc:gcc cmd=make:make:make cmd=cmake:cmake:cmake \
	cmd=pkg-config:pkg-config:pkgconf-pkg-config file=/usr/bin/python3:python3:python3 \
	file=/usr/include/stdio.h:libc6-dev:glibc-devel \
	file=/usr/include/event2/event.h:libevent-dev:libevent-devel \
	file=/usr/include/cjson/cJSON.h:libcjson-dev:cjson-devel \
	file=/usr/include/systemd/sd-daemon.h:libsystemd-dev:systemd-devel \
	file=/usr/include/cmocka.h:libcmocka-dev:libcmocka-devel \
	cmd=strace:strace:strace opt=cmd=fish:fish:fish opt=cmd=bwrap:bubblewrap:bubblewrap cmd=nm:binutils:binutils \
	file="$libgcc/libasan.so":-:libasan file="$libgcc/libubsan.so":-:libubsan file="$libgcc/libtsan.so":-:libtsan \
	py=pytest:python3-pytest:python3-pytest py=jsonschema:python3-jsonschema:python3-jsonschema \
	py=prometheus_client:python3-prometheus-client:python3-prometheus_client \
	opt=py=django:python3-django:python3-django opt=py=flask:python3-flask:python3-flask \
	opt=py=gunicorn:gunicorn:python3-gunicorn opt=py=pip:python3-pip:python3-pip \
	opt=py=ensurepip:python3-venv:python3-libs opt=py=wheel:python3-wheel:python3-wheel opt=py=cffi:python3-cffi:python3-cffi \
	opt=py=setuptools:python3-setuptools:python3-setuptools \
	opt=file=/usr/lib/uwsgi/plugins/python3_plugin.so:uwsgi-plugin-python3:uwsgi-plugin-python3 \
	opt=cmd=apache2:apache2-bin:httpd \
	opt=file=/usr/lib/apache2/modules/mod_wsgi.so:libapache2-mod-wsgi-py3:python3-mod_wsgi \
	opt=file=/usr/bin/python3-config:python3-dev:python3-devel \
	opt=file=/lib/systemd/systemd-journald:systemd:systemd $(ordinary_wants) ||
	give_up "packages could not be installed"
# Debian's name of CPython's own test suite has the version in it.
python=$(/usr/bin/python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
deps_install "opt=py=test.test_code:lib$python-testsuite:python3-test" || give_up "packages could not be installed"
deps_build || give_up "packages could not be installed"

# Debian 12 has all of those; not fewer than forty have to have run there.
if (. /etc/os-release && [ "$ID-${VERSION_ID:-}" = debian-12 ]) 2>/dev/null; then
	export PYAUDIT_PROGRAMS=40
fi

# ThreadSanitizer of older compilers does not know the address space of newer kernels.
fixed=
if setarch "$(uname -m)" -R true 2>/dev/null; then
	fixed="setarch $(uname -m) -R"
fi

jobs=$(nproc)
failed=0
for preset; do
	build=build/$preset
	step "$preset: build"
	log=build/$preset.log
	mkdir -p build
	if ! { cmake --preset "$preset" && cmake --build "$build" -j "$jobs"; } >"$log" 2>&1 </dev/null; then
		tail -n 60 "$log"
		give_up "preset $preset does not build (all of it: $log)"
	fi
	step "$preset: test"
	rm -rf "$build/tests/report" "$build/tests/junit.xml"
	(
		under=
		case $preset in
		asan)
			# What is sanitized is not the interpreters; PYAUDIT_INTERPRETERS=few takes the oldest and newest, too.
			export PYAUDIT_INTERPRETERS="${PYAUDIT_INTERPRETERS:-one}"
			export ASAN_OPTIONS="abort_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1"
			export UBSAN_OPTIONS="print_stacktrace=1"
			set -- -LE 'lint|ordinary'
			;;
		tsan)
			export PYAUDIT_INTERPRETERS="${PYAUDIT_INTERPRETERS:-one}"
			export TSAN_OPTIONS="halt_on_error=1:abort_on_error=1:second_deadlock_stack=1"
			under=$fixed
			set -- -R '^unit\.(ring|drain|sink|sink_context|recent|process)$|^e2e\.(deny|tail|reload|json|loss|resilience)$'
			;;
		*)
			set --
			;;
		esac
		$under ctest --test-dir "$build" -j "$jobs" --no-tests=error --output-on-failure \
			--test-output-size-passed 4000000 --test-output-size-failed 4000000 \
			--output-junit "$here/$build/tests/junit.xml" "$@" </dev/null
	) || failed=1
done

step "summary"
/usr/bin/python3 -B tests/summary.py "$@" || failed=1
exit $failed

# SPDX-License-Identifier: Apache-2.0
# Sourced by try.sh and tests/run.sh: installs what is missing, asks for nothing when nothing is.
#
#   deps_install WANT...   WANT is `check:debian-package:fedora-package`, where check is one of
#                          cmd=NAME  pc=PKGCONFIG  py=MODULE  hdr=HEADER  file=PATH  opt=CHECK
# A want that starts with `opt=` may be missing where the distribution has no such package.

deps_have() {
	case $1 in
	cmd=*) command -v "${1#cmd=}" >/dev/null 2>&1 ;;
	pc=*) pkg-config --exists "${1#pc=}" 2>/dev/null ;;
	py=*) /usr/bin/python3 -c "import ${1#py=}" >/dev/null 2>&1 ;;
	hdr=*) printf '#include <%s>\n' "${1#hdr=}" | cc -E -x c - >/dev/null 2>&1 ;;
	file=*) [ -e "${1#file=}" ] ;;
	*) return 1 ;;
	esac
}

deps_as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo "$@"
	else
		echo "To install packages I need root or sudo. Please run: $*" >&2
		return 1
	fi
}

deps_install() {
	deps_missing=
	deps_optional=
	for want; do
		check=${want%%:*}
		rest=${want#*:}
		optional=no
		case $check in opt=*) optional=yes check=${check#opt=} ;; esac
		deps_have "$check" && continue
		if command -v apt-get >/dev/null 2>&1; then
			package=${rest%%:*}
		else
			package=${rest#*:}
		fi
		[ "$package" != - ] || continue
		if [ $optional = yes ]; then
			deps_optional="$deps_optional $package"
		else
			deps_missing="$deps_missing $package"
		fi
	done
	[ -n "$deps_missing$deps_optional" ] || return 0

	echo "Installing:$deps_missing$deps_optional"
	# shellcheck disable=SC2086 # package names have no blanks
	if command -v apt-get >/dev/null 2>&1; then
		deps_as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update </dev/null || return 1
		deps_known=
		for package in $deps_optional; do
			! apt-cache show "$package" >/dev/null 2>&1 || deps_known="$deps_known $package"
		done
		deps_apt $deps_missing $deps_known ||
			{ [ -n "$deps_known" ] && { [ -z "$deps_missing" ] || deps_apt $deps_missing; }; }
	elif command -v dnf >/dev/null 2>&1; then
		deps_as_root dnf -q -y install --setopt=strict=0 $deps_missing $deps_optional </dev/null
	else
		echo "No apt-get and no dnf here. Please install the likes of:$deps_missing$deps_optional" >&2
		return 1
	fi
}

deps_apt() {
	deps_as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
		-o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" \
		</dev/null >/dev/null
}

deps_build() {
	deps_install cmd=cc:gcc:gcc hdr=stdio.h:libc6-dev:glibc-devel cmd=make:make:make cmd=cmake:cmake:cmake \
		cmd=pkg-config:pkg-config:pkgconf-pkg-config || return 1
	deps_install pc=libevent_core:libevent-dev:libevent-devel pc=libcjson:libcjson-dev:cjson-devel \
		pc=libsystemd:libsystemd-dev:systemd-devel file=/usr/bin/python3:python3:python3
}

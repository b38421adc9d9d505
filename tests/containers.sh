# SPDX-License-Identifier: Apache-2.0
# Sourced by tests/container.sh and tests/packages.sh: Debian systems in directories. Sets `work`, a directory
# that goes away at the end, `cache` and `nspawn`. Wants debootstrap, and root.

result=0
report() { # report WHAT STATUS
	if [ "$2" -eq 0 ]; then echo "PASS $1"; else echo "FAIL $1 (exit status $2)"; result=1; fi |
		tee -a "$work/report"
	[ "$2" -eq 0 ] || result=1
}

say() { printf '\n=== %s\n' "$*"; }

here_suite=$(. /etc/os-release 2>/dev/null; [ "${ID:-}" != debian ] || echo "${VERSION_CODENAME:-}")

# Where packages come from: PYAUDIT_MIRROR, or where this machine's own come from if it is a Debian.
mirror() {
	if [ -n "${PYAUDIT_MIRROR:-}" ]; then
		echo "$PYAUDIT_MIRROR"
		return
	fi
	found=
	if [ -n "$here_suite" ]; then
		found=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null |
			sed -n 's/^URIs: *\([^ ]*\).*/\1/p' | grep -v security | head -n 1)
		[ -n "$found" ] || found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
			sed -n 's/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\).*/\2/p' | head -n 1)
	fi
	[ -n "$found" ] || {
		echo "$(basename "$0"): set PYAUDIT_MIRROR to a Debian mirror: this machine's own sources name none" >&2
		exit 2
	}
	echo "$found"
}

cache=${XDG_CACHE_HOME:-$HOME/.cache}/pyaudit
work=$(mktemp -d "${TMPDIR:-/var/tmp}/pyaudit-container.XXXXXX")

# Nothing of the container may stay mounted below a directory that is about to be removed.
cleanup() {
	awk -v w="$work/" 'index($2, w) == 1 { print $2 }' /proc/mounts | sort -r |
		while read -r m; do umount -l "$m" || :; done
	if awk -v w="$work/" 'index($2, w) == 1 { found = 1 } END { exit !found }' /proc/mounts; then
		echo "$(basename "$0"): something is still mounted below $work, left alone" >&2
	else
		rm -rf --one-file-system "$work"
	fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# base SUITE: makes its tarball where it is not there, and names it
base() {
	base_tar=$cache/debian-$(suite_number "$1")-minbase-$(uname -m).tar
	if [ ! -s "$base_tar" ]; then
		say "debootstrap $1 into $base_tar" >&2
		mkdir -p "$cache"
		from=$(mirror)
		debootstrap --variant=minbase --include=ca-certificates,git "$1" "$work/base" "$from" \
			>"$work/debootstrap.log" 2>&1 || { tail -n 20 "$work/debootstrap.log" >&2; exit 2; }
		rm -rf "$work/base/var/cache/apt/archives"/*.deb
		tar -C "$work/base" -cf "$base_tar.new" . && mv "$base_tar.new" "$base_tar"
		rm -rf --one-file-system "$work/base"
	fi
	echo "$base_tar"
}

suite_number() {
	case $1 in bookworm) echo 12 ;; trixie) echo 13 ;; *) echo "$1" ;; esac
}

# unpack DIR SUITE [TARBALL]: the base system, with this machine's way to packages and names
unpack() {
	mkdir -p "$1"
	tar -C "$1" -xf "${3:-$(base "$2")}"
	if [ "$2" = "$here_suite" ] && [ -z "${PYAUDIT_MIRROR:-}" ]; then
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

nspawn="systemd-nspawn --quiet --machine=$(basename "$work" | tr . -) --hostname=localhost --register=no --keep-unit --resolv-conf=off --timezone=off"
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
		echo "$(basename "$0"): entering by $enter_by"
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

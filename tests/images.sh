# SPDX-License-Identifier: Apache-2.0
# Sourced after tests/containers.sh: Debian systems with packages in them, kept beside the bare ones.

# image SUITE NAME PACKAGE...: names the tarball of such a system, which is made where it is not there
image() {
	image_suite=$1
	image_tar=$cache/debian-$(suite_number "$1")-$2-$(echo "$@" | cksum | cut -d' ' -f1)-$(uname -m).tar
	if [ ! -s "$image_tar" ]; then
		say "an image for $1: $2" >&2
		image_dir=$work/image-$2
		unpack "$image_dir" "$1"
		shift 2
		enter "$image_dir" sh -ec '
			export DEBIAN_FRONTEND=noninteractive
			apt-get -qq update
			apt-get -qq install -y --no-install-recommends "$@" >/dev/null 2>&1
			apt-get clean' sh "$@" </dev/null >&2
		tar -C "$image_dir" -cf "$image_tar.new" . && mv "$image_tar.new" "$image_tar"
		rm -rf --one-file-system "$image_dir"
	fi
	echo "$image_tar"
}

# build_image SUITE [PACKAGE...]: where the Debian packages can be built and looked at
build_image() {
	build_suite=$1
	shift
	image "$build_suite" build build-essential cmake debhelper dh-apparmor fakeroot libcjson-dev libevent-dev libsystemd-dev \
		pkg-config $([ "$build_suite" = bookworm ] && echo systemd || echo systemd-dev) lintian apparmor man-db "$@"
}

# built_packages SUITE DIR: the Debian packages of the committed tree, or those that PYAUDIT_PACKAGES has
built_packages() {
	mkdir -p "$2"
	if [ -n "${PYAUDIT_PACKAGES:-}" ]; then
		cp "$PYAUDIT_PACKAGES/$1/new"/*.deb "$2/"
		return
	fi
	build_dir=$work/packages-build
	unpack "$build_dir" "$1" "$(build_image "$1")"
	clone "$build_dir/root/pyaudit"
	enter "$build_dir" sh -c 'cd /root/pyaudit && sh packaging/deb.sh /root/new >/root/log 2>&1 ||
		{ tail -n 40 /root/log; exit 1; }' </dev/null
	cp "$build_dir/root/new"/*.deb "$2/"
	rm -rf --one-file-system "$build_dir"
}

# shellcheck shell=sh
# Unpacks packages of Debian into a folder of their own. Nothing is installed into
# the system, root is not needed. An install.sh sources this file under set -e. It
# has defined instead MESSAGE, which says what else the user can do and exits, and
# dir, the folder to make; and calls in this order: stage, debian_check, debian_unpack or
# debian_unpack_whole, perhaps debian_wrap, publish.

# stage NAME makes dir absolute, and makes the staging folder $work/tree on the same
# file system. publish renames it, so that dir never holds an incomplete tree.
stage() {
	mkdir -p "$(dirname "$dir")"
	parent=$(cd "$(dirname "$dir")" && pwd)
	dir=$parent/$(basename "$dir")
	work=$(mktemp -d "$parent/.$1-install.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT TERM
	mkdir "$work/tree"
}

# publish STAMP renames the tree to dir. Its .stamp identifies the version.
publish() {
	echo "$1" >"$work/tree/.stamp"
	rm -rf "$dir"
	mv "$work/tree" "$dir"
}

# debian_check sets release to this Debian's number, 12 or 13, suite to its name, and
# keyring to the file with the keys of its archive; on other systems it says what to do
# instead.
# shellcheck disable=SC2034 # release is for the caller
debian_check() {
	system=unknown
	if [ -r /etc/os-release ]; then
		system=$(. /etc/os-release && echo "${ID:-unknown} ${VERSION_ID:-}")
	fi
	case $system in
	"debian 12") release=12 suite=bookworm ;;
	"debian 13") release=13 suite=trixie ;;
	*) instead "this is $system, the packages fit Debian 12 and 13" ;;
	esac
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -r $keyring ] || instead "$keyring is missing (package debian-archive-keyring)"
}

# debian_unpack SUITE PACKAGE... unpacks these packages, and none that they depend
# on, into $work/tree/root. They come from the mirror that this machine already
# uses and are checked against $keyring by apt.
debian_unpack() {
	debian_source "$1"
	shift
	debian_fetch "$@"
}

# debian_unpack_whole SUITE WITHOUT PACKAGE... also unpacks all that the packages
# depend on, except for packages whose names match the extended pattern WITHOUT.
debian_unpack_whole() {
	debian_source "$1"
	without=$2
	shift 2
	# shellcheck disable=SC2046 # names of packages hold no blanks
	debian_fetch $(apt_get install --no-install-recommends --print-uris "$@" |
		sed -nE "s/^[^ ]+ ([^_ ]+)_.*/\1/p" | grep -vxE "$without")
}

# debian_wrap NAME PROGRAM [ASSIGNMENT...] makes bin/NAME, which runs the unpacked PROGRAM
# with the unpacked libraries, except for the C library, and with these variables. It finds
# the tree, $d, from its own path, so that the folder may be moved. Called in $work/tree.
debian_wrap() {
	name=$1 program=$2
	shift 2
	triplet=$(dpkg --print-architecture | sed 's/amd64/x86_64/; s/arm64/aarch64/')-linux-gnu
	mkdir libraries
	# shellcheck disable=SC2044 # names of libraries hold no blanks
	for library in $(find root -name '*.so*' -path "*/lib/$triplet/*"); do
		case $(basename "$library") in
		ld-linux* | libc.so* | libm.so*) ;;
		*) ln -sf "../$library" libraries/ ;;
		esac
	done
	cat >"bin/$name" <<-TEXT
	#!/bin/sh
	d=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
	export LD_LIBRARY_PATH="\$d/libraries"${1:+ $*}
	exec "\$d/root/$program" "\$@"
	TEXT
	chmod 755 "bin/$name"
}

debian_source() {
	suite=$1
	mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -v security | head -1)
	if [ -z "$mirror" ]; then
		mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\(http[^ ]*\) .*/\2/p' /etc/apt/sources.list 2>/dev/null | grep -v security | head -1)
	fi
	[ -n "$mirror" ] || instead "apt's sources name no mirror of Debian"

	apt=$work/apt
	mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$work/tree/root"
	: >"$apt/status"
	cat >"$apt/debian.sources" <<-TEXT
	Types: deb
	URIs: $mirror
	Suites: $suite
	Components: main
	Signed-By: $keyring
	TEXT
	apt_get update
}

debian_fetch() {
	cd "$apt/cache/archives" || return
	apt_get download "$@"
	for deb in *.deb; do
		dpkg -x "$deb" "$work/tree/root"
	done
	cd "$work/tree" || return
}

# apt_get is apt with its own state: the system's lists, cache and package status
# stay untouched.
apt_get() {
	apt-get -qq \
		-o Dir::State="$apt/state" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" \
		-o Dir::Etc::sourcelist="$apt/debian.sources" -o Dir::Etc::sourceparts=/nonexistent \
		-o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 \
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

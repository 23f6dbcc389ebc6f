#!/bin/sh
# Unpacks Debian's emulators of other processors, on which the parity test runs the
# detector, into a directory. Nothing is installed into the system.
#
#   wasm/parity/install.sh DIR     afterwards DIR/bin/qemu-{aarch64,s390x}-static
#
# Emulators on the PATH are used instead, if there are any.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
dir=$1
programs="qemu-aarch64-static qemu-s390x-static"

# The stamp names the recipe; change it whenever what follows changes.
stamp="qemu recipe 1"
if [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi

instead() {
	cat >&2 <<-TEXT
	$0: $1
	Put $programs on the PATH (package qemu-user-static) and run this again.
	TEXT
	exit 1
}

here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../../cdk/local/debian/unpack.sh
. "$here/../../cdk/local/debian/unpack.sh"
stage qemu
mkdir "$work/tree/bin"

found=yes
for program in $programs; do
	path=$(command -v "$program" || true)
	if [ -n "$path" ]; then
		ln -s "$(readlink -f "$path")" "$work/tree/bin/$program"
	else
		found=
	fi
done
[ -z "$found" ] || publish "$stamp"
[ -z "$found" ] || exit 0

debian_check
case $release in
12) package=qemu-user-static ;;
13) package=qemu-user ;;
esac
echo "unpacking QEMU's emulators from Debian's packages into $dir (63 MB, once)"
debian_unpack "$suite" "$package"
for program in $programs; do
	# Debian 13 builds them static under their plain names.
	for name in "$program" "${program%-static}"; do
		[ ! -f "root/usr/bin/$name" ] || mv -f "root/usr/bin/$name" "bin/$program"
	done
	"bin/$program" --version >/dev/null || instead "$program does not run here"
done
rm -rf root
chmod -R go+rX .
publish "$stamp"

#!/bin/sh
# Creates a directory with TinyGo and wasm-opt, which build the detector's module.
# Nothing is installed into the system, and root is not needed.
#
#   wasm/toolchain/install.sh DIR     afterwards DIR/bin/{tinygo,wasm-opt}
#
# A tinygo of this version and a wasm-opt on the PATH are used instead, if there are any.
# Otherwise TinyGo is built from its Go module against Debian's LLVM.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
dir=$1
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)

tinygo=0.39.0
llvm=19
# TinyGo compiles Go's standard library, so each version supports certain versions of Go.
toolchain=go1.25.5

# The stamp names the recipe; change it whenever what follows changes.
stamp="tinygo $tinygo recipe 1"
if [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ] && [ -x "$dir/bin/tinygo" ] && [ -x "$dir/bin/wasm-opt" ]; then
	exit 0
fi

instead() {
	cat >&2 <<-TEXT
	$0: $1
	Put tinygo $tinygo (https://github.com/tinygo-org/tinygo/releases/tag/v$tinygo) and wasm-opt (package binaryen) on the PATH
	and run this again.
	TEXT
	exit 1
}

# shellcheck source-path=SCRIPTDIR source=../../cdk/local/debian/unpack.sh
. "$here/../../cdk/local/debian/unpack.sh"
stage tinygo
mkdir "$work/tree/bin"

# wrap NAME writes bin/NAME from its standard input; in it $d is the folder,
# wherever that was moved.
wrap() {
	{
		# shellcheck disable=SC2016 # the wrapper expands it
		printf '#!/bin/sh\nd=$(dirname "$(dirname "$(readlink -f "$0")")")\n'
		cat
	} >"$work/tree/bin/$1"
	chmod 755 "$work/tree/bin/$1"
}

finish() {
	"$work/tree/bin/wasm-opt" --version >/dev/null 2>&1 || instead 'wasm-opt does not run here'
	"$work/tree/bin/tinygo" version >/dev/null || instead 'TinyGo does not run here'
	publish "$stamp"
	exit 0
}

found=$(command -v tinygo || true)
optimiser=$(command -v wasm-opt || true)
if [ -n "$found" ] && [ -n "$optimiser" ] && "$found" version | grep -q "version $tinygo "; then
	echo "using $found from the PATH"
	wrap tinygo <<-TEXT
	export GOTOOLCHAIN=$toolchain
	exec "$(readlink -f "$found")" "\$@"
	TEXT
	ln -s "$(readlink -f "$optimiser")" "$work/tree/bin/wasm-opt"
	finish
fi

debian_check
case $release in
12) suite=bookworm ;;
13) suite=trixie ;;
esac
triplet=$(dpkg --print-architecture | sed 's/amd64/x86_64/; s/arm64/aarch64/')-linux-gnu

echo "building TinyGo $tinygo with Debian's LLVM $llvm into $dir (200 MB, once, about two minutes)"

# Of what the packages depend on these are not needed to compile C++ or to run the
# compiler; libicu is, by libxml2.
debian_unpack_whole "$suite" \
	'llvm-[0-9]+(-tools|-runtime)?|libicu-dev|icu-devtools|lib(python|objc|asan|tsan|lsan|ubsan|itm|gprofng|quadmath|gomp).*|python3.*|binutils.*|dpkg|tar|libssl.*|libgnutls.*|libsqlite.*|libcurl.*|libkrb5.*|libdb.*|ncurses-bin|perl.*|media-types' \
	"llvm-$llvm-dev" "libclang-$llvm-dev" "clang-$llvm" "lld-$llvm" binaryen libc6-dev

# The unpacked compilers run on this system's C library and their own other
# libraries: only those are in libraries.
mkdir libraries
for library in root/lib/"$triplet"/*.so.* root/usr/lib/"$triplet"/*.so.* root/usr/lib/"llvm-$llvm"/lib/*.so*; do
	case $(basename "$library") in
	ld-linux* | ld.so* | libc.so* | libm.so* | libmvec* | libpthread* | libdl.so* | librt.so* | libresolv* | libanl* | libutil.so* | libnss_* | libnsl* | libthread_db* | libBrokenLocale* | libmemusage* | libpcprofile* | libc_malloc*) ;;
	*) [ ! -f "$library" ] || ln -sf "../$library" libraries/ ;;
	esac
done

for program in clang clang++ ld.lld wasm-ld; do
	wrap "$program-$llvm" <<-TEXT
	LD_LIBRARY_PATH=\$d/libraries exec "\$d/root/usr/lib/llvm-$llvm/bin/$program" "\$@"
	TEXT
done
wrap wasm-opt <<-TEXT
LD_LIBRARY_PATH=\$d/libraries exec "\$d/root/usr/bin/wasm-opt" "\$@"
TEXT

mkdir "$work/build"
cp "$here/tinygo.mod" "$work/build/go.mod"
cp "$here/tinygo.sum" "$work/build/go.sum"
printf '//go:build tools\n\npackage tools\n\nimport _ "github.com/tinygo-org/tinygo"\n' >"$work/build/tools.go"
cd "$work/build"
root=$work/tree/root
export GOTOOLCHAIN=$toolchain GOFLAGS='' GOWORK=off
CGO_ENABLED=1 CC="$work/tree/bin/clang-$llvm --sysroot=$root" CXX="$work/tree/bin/clang++-$llvm --sysroot=$root" \
	CGO_CPPFLAGS="-I$root/usr/include/llvm-$llvm -I$root/usr/include/llvm-c-$llvm -I$root/usr/lib/llvm-$llvm/include" \
	CGO_LDFLAGS="-fuse-ld=$work/tree/bin/ld.lld-$llvm -L$root/usr/lib/llvm-$llvm/lib -Wl,--allow-shlib-undefined" \
	go build -trimpath -tags "llvm$llvm" -o "$work/tree/tinygo.real" github.com/tinygo-org/tinygo

# TinyGo's module as its root: writable, and with the folder that it only has as a
# submodule and looks for. Targets that need its other submodules do not link.
cp -r "$(go list -m -f '{{.Dir}}' github.com/tinygo-org/tinygo)" "$work/tree/tinygoroot"
cd "$work/tree"
chmod -R u+w tinygoroot
mkdir -p tinygoroot/src/net
wrap tinygo <<-TEXT
export TINYGOROOT=\$d/tinygoroot GOTOOLCHAIN=$toolchain WASMOPT=\$d/bin/wasm-opt PATH=\$d/bin:\$PATH
LD_LIBRARY_PATH=\$d/libraries exec "\$d/tinygo.real" "\$@"
TEXT
# What only the build needed.
rm -rf root/usr/share root/usr/include root/usr/lib/gcc
find root -name '*.a' -delete
chmod -R go+rX .
finish

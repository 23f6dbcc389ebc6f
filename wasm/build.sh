#!/bin/sh
# Builds the detector's module.
#
#   wasm/build.sh TOOLCHAIN OUT     TOOLCHAIN is a directory of toolchain/install.sh
#
# The same sources and toolchain give the same bytes.
set -eu
[ $# -eq 2 ] || { echo "usage: $0 TOOLCHAIN OUT" >&2; exit 2; }
tools=$(cd "$1" && pwd)/bin
mkdir -p "$(dirname "$2")"
out=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
cd "$(dirname "$(readlink -f "$0")")/.."

raw=$(mktemp)
trap 'rm -f "$raw"' EXIT
# The project's go.mod may require a newer Go than TinyGo supports; these packages need
# no other modules.
GOWORK=off GOFLAGS="-modfile=$PWD/wasm/toolchain/module.mod" \
	"$tools/tinygo" build -o "$raw" -target wasm/target.json -opt 2 -panic trap -no-debug ./wasm
"$tools/wasm-opt" -O3 \
	--enable-bulk-memory --enable-simd --enable-nontrapping-float-to-int --enable-sign-ext --enable-mutable-globals \
	--strip-debug --strip-producers --strip-target-features "$raw" -o "$out.part"
mv "$out.part" "$out"
echo "built $2: $(wc -c <"$out") bytes"

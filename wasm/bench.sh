#!/bin/sh
# Measures the detector natively and as a module: wasm/bench.sh MODULE CHROMIUM
set -eu
[ $# -eq 2 ] || { echo "usage: $0 MODULE CHROMIUM" >&2; exit 2; }
module=$(readlink -f "$1")
chromium=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
cd "$(dirname "$(readlink -f "$0")")/.."

node --expose-gc wasm/bench.mjs "$module" "${SAMPLES:-1e9}"
echo
cd web
BENCH_SAMPLES=200000000 CHROMIUM=$chromium npm run --silent test -- --no-color test/chromium.test.ts -t 'goes on' | grep 'samples a second'
cd ..
go test -run '^$' -bench . -benchmem -count 3 ./wasm/module | grep -e Benchmark -e cpu:
go test -run '^$' -bench . -count 3 ./wasm/parity | grep Benchmark

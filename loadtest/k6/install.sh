#!/bin/sh
# Provides k6 in a folder of its own, for the load tests:
#
#   loadtest/k6/install.sh DIR     afterwards DIR/bin/k6
#
# A k6 of version 1 or later on the PATH is used as it is. Otherwise the version of
# module/go.mod is built from its source, checked against module/go.sum.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1/bin"
dir=$(cd "$1" && pwd)
module=$(dirname "$(readlink -f "$0")")/module

if found=$(command -v k6); then
	found=$(readlink -f "$found")
	case $("$found" version 2>/dev/null) in
	"k6 v"[1-9]*)
		[ "$(readlink -f "$dir/bin/k6")" = "$found" ] || { ln -sf "$found" "$dir/bin/k6"; echo "k6: $found"; }
		rm -f "$dir/.stamp"
		exit 0
		;;
	*) echo "k6: $found is older than version 1; building one" >&2 ;;
	esac
fi

# The stamp names the recipe and the sources; change the recipe's number whenever
# what follows changes.
stamp="k6 recipe 1 $(cat "$module/go.mod" "$module/go.sum" | sha256sum)"
if [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ] && [ -x "$dir/bin/k6" ]; then
	exit 0
fi
echo "building k6 into $dir (one to two minutes the first time)"
rm -f "$dir/bin/k6"
cd "$module"
CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -ldflags '-s -w' -o "$dir/bin/k6" go.k6.io/k6
echo "$stamp" >"$dir/.stamp"
"$dir/bin/k6" version

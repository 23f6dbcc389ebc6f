#!/bin/sh
# Installs k6 as DIR/bin/k6, for the load tests:
#
#   loadtest/k6/install.sh DIR
#
# If a k6 of version 1 or later is on the PATH, it is linked. Otherwise the version of
# module/go.mod is built from source, verified against module/go.sum.
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

# The stamp identifies recipe and sources; increase the number when the commands below change.
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

#!/bin/sh
# Builds Prometheus 3 from its source into a folder of its own, for the tests of
# remote write 2.0 and for a newer server than Debian's:
#
#   cdk/local/prometheus/build3.sh DIR     afterwards DIR/bin/{prometheus,promtool}
#
# Source and versions are those of server3/go.mod, checked against its go.sum. The
# API and the remote-write receiver are whole; service discovery is left out, and so
# are the web pages, which the source does not hold.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
cd "$(dirname "$(readlink -f "$0")")/server3"

# The stamp names the recipe and the sources; change the recipe's number whenever
# what follows changes.
stamp="prometheus 3 recipe 1 $(cat go.mod go.sum | sha256sum)"
if [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ] && [ -x "$dir/bin/prometheus" ] && [ -x "$dir/bin/promtool" ]; then
	exit 0
fi

echo "building Prometheus 3 into $dir (minutes the first time)"
source=$(go list -m -f '{{.Dir}}' github.com/prometheus/prometheus)
[ -n "$source" ] || source=$(go mod download -json github.com/prometheus/prometheus | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
version=$(cat "$source/VERSION")
for program in prometheus promtool; do
	CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -tags remove_all_sd,netgo \
		-ldflags "-s -w -X github.com/prometheus/common/version.Version=$version" \
		-o "$dir/bin/$program" "github.com/prometheus/prometheus/cmd/$program"
done
echo "$stamp" >"$dir/.stamp"
"$dir/bin/prometheus" --version | head -1

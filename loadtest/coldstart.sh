#!/bin/bash
# Measures the seconds from `make run` in a bare clone with empty caches to the first
# stored event, for each revision in turn.
#
#   loadtest/coldstart.sh REVISION...
#
# Go modules, Debian's and npm's packages are downloaded anew each time.
set -eu -o pipefail
[ $# -gt 0 ] || { echo "usage: $0 REVISION..." >&2; exit 2; }
repository=$(git -C "$(dirname "$(readlink -f "$0")")" rev-parse --show-toplevel)

measure() {
	local revision=$1 dir start stack dsn
	dir=$(mktemp -d)
	chmod 755 "$dir" # the database's user reads its programs there
	git clone -q "$repository" "$dir/clone"
	cd "$dir/clone"
	git checkout -q "$revision"
	unset MAKEFLAGS MFLAGS MAKELEVEL GOFLAGS CGO_ENABLED STARTED
	export GOMODCACHE=$dir/modules GOCACHE=$dir/build npm_config_cache=$dir/npm
	start=$(date +%s%N)
	setsid make run HTTP=127.0.0.1:0 >"$dir/log" 2>&1 &
	stack=$!
	trap 'kill -INT -- -$stack 2>/dev/null || true' EXIT
	until dsn=$(sed -nE 's/.*"database": *"([^"]*)".*/\1/p' .local/stack.json 2>/dev/null) && [ -n "$dsn" ] &&
		[ "$(.local/timescale/bin/psql "$dsn" -Atc 'SELECT count(*) FROM (SELECT 1 FROM reading LIMIT 1) r' 2>/dev/null)" = 1 ]; do
		kill -0 $stack 2>/dev/null || { cat "$dir/log" >&2; exit 1; }
		sleep 0.2
	done
	echo "$(git rev-parse --short HEAD): $((($(date +%s%N) - start) / 1000000)) ms to the first stored event"
	grep -E '^\[ *[0-9]+ s\]' "$dir/log" || true
	kill -INT -- -$stack
	wait $stack || true
	trap - EXIT
	cd /
	chmod -R u+w "$dir" # Go's modules are read-only
	rm -rf "$dir"
}

for revision in "$@"; do
	(measure "$revision")
done

#!/bin/sh
# Unpacks Debian's redis-server into a folder of its own. Nothing is installed into
# the system, root is not needed.
#
#   cdk/local/redis/install.sh DIR     afterwards DIR/bin/redis-server
#
# If a redis-server or valkey-server 7.0 or newer is on the PATH, DIR/bin links to it instead.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
dir=$1

# The first version with the commands that signaling/relay uses (XTRIM MINID, XADD
# NOMKSTREAM, EXPIRE in scripts that write random values).
least=7.0.0

# The stamp names the recipe; change it whenever what follows changes.
stamp="redis recipe 1"
if [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ] && [ -x "$dir/bin/redis-server" ]; then
	exit 0
fi

instead() {
	cat >&2 <<-TEXT
	$0: $1
	Put redis-server or valkey-server $least or newer on the PATH and run this again.
	TEXT
	exit 1
}

# new_enough PROGRAM: it runs here and its version is at least $least.
new_enough() {
	version=$("$1" --version 2>/dev/null | sed -nE 's/.*[ =]v=([0-9][0-9.]*).*/\1/p' | head -1)
	[ -n "$version" ] && [ "$(printf '%s\n%s\n' "$least" "$version" | sort -V | head -1)" = "$least" ]
}

# shellcheck source-path=SCRIPTDIR source=../debian/unpack.sh
. "$(dirname "$(readlink -f "$0")")/../debian/unpack.sh"
stage redis
mkdir "$work/tree/bin"

for name in redis-server valkey-server; do
	found=$(command -v "$name" || true)
	if [ -n "$found" ] && new_enough "$found"; then
		echo "using $found ($version) from the PATH"
		ln -s "$(readlink -f "$found")" "$work/tree/bin/redis-server"
		publish "$stamp"
		exit 0
	fi
done

debian_check

echo "unpacking redis-server from Debian's packages into $dir (6 MB, once)"
# The C library is this system's own; the rest that is left out configures packages or
# starts services.
debian_unpack_whole "$suite" \
	'libc6|libc-bin|libcrypt1|gcc-.*-base|dpkg|tar|perl.*|libperl.*|debconf|adduser|passwd|login.*|libpam.*|lsb-base|sysvinit-utils|init-system-helpers|systemd.*|util-linux.*|procps|ca-certificates|openssl' \
	redis-server

debian_wrap redis-server usr/bin/redis-server
new_enough bin/redis-server || instead 'redis-server does not run here'
rm -rf root/etc root/usr/share root/var
chmod -R go+rX .
publish "$stamp"

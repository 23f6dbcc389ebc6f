#!/bin/sh
# Unpacks Debian's coturn, the TURN server, into a folder of its own. Nothing is
# installed into the system, root is not needed.
#
#   cdk/local/coturn/install.sh DIR     afterwards DIR/bin/turnserver
#
# If a turnserver is on the PATH, DIR/bin links to it instead.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
dir=$1

# The stamp names the recipe; change it whenever what follows changes.
stamp="coturn recipe 1"
if [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ] && [ -x "$dir/bin/turnserver" ]; then
	exit 0
fi

instead() {
	cat >&2 <<-TEXT
	$0: $1
	Put coturn's turnserver (4.6 or newer) on the PATH and run this again.
	TEXT
	exit 1
}

# usage PROGRAM: the program runs and knows what the platform's options need. It ends with
# another status than 0 and would log to /var/log.
usage() { "$1" -l stdout -h 2>&1 | grep -q -e --use-auth-secret; }

# shellcheck source-path=SCRIPTDIR source=../debian/unpack.sh
. "$(dirname "$(readlink -f "$0")")/../debian/unpack.sh"
stage coturn
mkdir "$work/tree/bin"

found=$(command -v turnserver || true)
if [ -n "$found" ] && usage "$found"; then
	echo "using $found from the PATH"
	ln -s "$(readlink -f "$found")" "$work/tree/bin/turnserver"
	publish "$stamp"
	exit 0
fi

debian_check

echo "unpacking coturn from Debian's packages into $dir (10 MB, once)"
# Not needed: the C library, which is this system's own, and what configures packages.
debian_unpack_whole "$suite" \
	'libc6|libc-bin|libcrypt1|dpkg|tar|perl.*|libperl.*|debconf|adduser|passwd|login.*|libpam.*|libaudit.*|libcap-ng0|libselinux1|libsemanage.*|libsepol.*|sysvinit-utils|lsb-base|systemd.*|sqlite3|mysql-common|ucf|sensible-utils|openssl|ca-certificates|gcc-.*-base' \
	coturn

debian_wrap turnserver usr/bin/turnserver
usage bin/turnserver || instead 'coturn does not run here'
rm -rf root/etc root/var root/usr/share
chmod -R go+rX .
publish "$stamp"

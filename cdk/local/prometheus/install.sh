#!/bin/sh
# Unpacks Debian's Prometheus into a folder of its own. Nothing is installed into
# the system, root is not needed.
#
#   cdk/local/prometheus/install.sh DIR     afterwards DIR/bin/{prometheus,promtool}
#
# If a prometheus and promtool on the PATH are at least as new, DIR/bin links to them
# instead, also if DIR holds older ones. A folder that build3.sh has made is not changed.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
dir=$1

# The first version whose remote-write receiver takes native histograms and whose
# storage takes samples out of order.
least=2.42.0

instead() {
	cat >&2 <<-TEXT
	$0: $1
	Put prometheus and promtool $least or newer on the PATH (https://prometheus.io/download/) and run this again.
	TEXT
	exit 1
}

version_of() {
	"$1" --version 2>&1 | sed -n 's/.*version \([0-9][0-9.]*\).*/\1/p' | head -1
}
new_enough() {
	version=$(version_of "$1")
	[ -n "$version" ] && at_least "$version" "$least"
}

# at_least A B: version A is B or newer.
at_least() {
	[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -1)" = "$2" ]
}

server=$(command -v prometheus || true)
tool=$(command -v promtool || true)
if [ -z "$server" ] || [ -z "$tool" ] || ! new_enough "$server" || ! new_enough "$tool"; then
	server=
fi

# The stamp names the recipe; change it whenever what follows changes.
stamp="prometheus recipe 2"
have=$(cat "$dir/.stamp" 2>/dev/null || true)
if [ -x "$dir/bin/prometheus" ] && [ -x "$dir/bin/promtool" ]; then
	case $have in
	"prometheus 3 recipe"*) exit 0 ;;
	"$stamp")
		if [ -z "$server" ] || at_least "$(version_of "$dir/bin/prometheus")" "$(version_of "$server")"; then
			exit 0
		fi
		;;
	esac
fi

# shellcheck source-path=SCRIPTDIR source=../debian/unpack.sh
. "$(dirname "$(readlink -f "$0")")/../debian/unpack.sh"
stage prometheus
mkdir "$work/tree/bin"

finish() {
	for program in prometheus promtool; do
		new_enough "$work/tree/bin/$program" || instead "$program does not run here, or is older than $least"
	done
	chmod -R go+rX "$work/tree" 2>/dev/null || true
	publish "$stamp"
	exit 0
}

if [ -n "$server" ]; then
	echo "using $server ($(version_of "$server")) from the PATH"
	ln -s "$(readlink -f "$server")" "$work/tree/bin/prometheus"
	ln -s "$(readlink -f "$tool")" "$work/tree/bin/promtool"
	finish
fi

debian_check

echo "unpacking Prometheus from Debian's packages into $dir (23 MB, once)"

# The libraries are those that its own page loads.
debian_unpack "$suite" prometheus \
	fonts-glyphicons-halflings libjs-bootstrap4 libjs-d3 libjs-eonasdan-bootstrap-datetimepicker libjs-jquery libjs-jquery-hotkeys \
	libjs-moment libjs-moment-timezone libjs-mustache libjs-popper.js libjs-rickshaw

rm -rf root/etc root/lib root/var root/usr/share/doc root/usr/share/man
# Debian's build has the folder of its pages compiled in. The copy gets a relative
# path of the same length instead: pages are served to a server that is started in
# DIR/root, as the local stack does; without that only the API answers.
sed -i 's#/usr/share/prometheus/web/#usr/share/prometheus/web//#g' root/usr/bin/prometheus
for program in prometheus promtool; do
	ln -s "../root/usr/bin/$program" "bin/$program"
done
finish

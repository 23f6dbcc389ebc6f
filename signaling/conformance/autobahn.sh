#!/bin/sh
# Runs the Autobahn suite against the signaling service's WebSocket, as an echo, and prints
# the counts. Optional: the same families are in TestConformance, which CI runs.
#
#   signaling/conformance/autobahn.sh [PYTHON2.7]
#
# The suite is a Python 2.7 program; it is installed, pinned, into a temporary folder.
set -eu

python=${1:-python2.7}
"$python" --version >/dev/null 2>&1 || {
	echo "$0: $python does not run; name a Python 2.7: $0 /path/to/python2.7" >&2
	exit 2
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m pip install --quiet --disable-pip-version-check --target "$folder/lib" \
	autobahntestsuite==0.8.2 autobahn==0.10.9 twisted==20.3.0 zope.interface==5.5.2 six==1.17.0 2>"$folder/pip.log" || {
	cat "$folder/pip.log" >&2
	exit 1
}
# A namespace package without its .pth file.
touch "$folder/lib/zope/__init__.py"
printf '#!/bin/sh\nPYTHONPATH=%s exec %s %s "$@"\n' "$folder/lib" "$python" "$folder/lib/bin/wstest" >"$folder/wstest"
chmod 755 "$folder/wstest"
cd "$(dirname "$(readlink -f "$0")")/../.."
go test -tags autobahn -count 1 -v -timeout 30m -run '^TestAutobahn$' ./signaling/hub -autobahn "$folder/wstest"

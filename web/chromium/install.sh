#!/bin/sh
# Unpacks Debian's Chromium, in which the console's parts are tested, into a folder
# of its own. Nothing is installed into the system, root is not needed.
#
#   web/chromium/install.sh DIR     afterwards DIR/bin/chromium
#
# If a chromium or google-chrome is on the PATH, DIR/bin links to it instead.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
dir=$1

# The stamp names the recipe; change it whenever what follows changes.
stamp="chromium recipe 1"
if [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ] && [ -x "$dir/bin/chromium" ]; then
	exit 0
fi

instead() {
	cat >&2 <<-TEXT
	$0: $1
	Put a chromium or google-chrome on the PATH and run this again.
	TEXT
	exit 1
}

here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../../cdk/local/debian/unpack.sh
. "$here/../../cdk/local/debian/unpack.sh"
stage chromium
mkdir "$work/tree/bin"

for name in chromium chromium-browser google-chrome google-chrome-stable; do
	found=$(command -v "$name" || true)
	if [ -n "$found" ] && "$found" --version >/dev/null 2>&1; then
		echo "using $found from the PATH"
		ln -s "$(readlink -f "$found")" "$work/tree/bin/chromium"
		publish "$stamp"
		exit 0
	fi
done

debian_check

echo "unpacking Chromium from Debian's packages into $dir (180 MB, once)"
# Not needed by a browser without a window that nobody installs: the C library,
# which is this system's own, what configures packages, and drivers of screens.
debian_unpack_whole "$suite" \
	'libc6|libc-bin|libcrypt1|dpkg|tar|perl.*|libperl.*|debconf|adduser|passwd|login.*|libpam.*|xdg-utils|adwaita-icon-theme|hicolor-icon-theme|gtk-update-icon-cache|libgtk-3-(bin|common)|libllvm.*|libz3.*|libgl1-mesa-dri|mesa-.*|ucf|sensible-utils|systemd.*|procps|tzdata|openssl|ca-certificates|fonts-ipafont.*|.*-l10n' \
	chromium fonts-dejavu-core

# shellcheck disable=SC2016 # the wrapper has the folder's name
debian_wrap chromium usr/lib/chromium/chromium 'FONTCONFIG_SYSROOT="$d/root"'
bin/chromium --version >/dev/null || instead 'Chromium does not run here'
rm -rf root/usr/share/doc root/usr/share/man root/usr/share/locale root/var
chmod -R go+rX .
publish "$stamp"

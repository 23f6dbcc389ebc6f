#!/bin/sh
# Unpacks PostgreSQL 17 with TimescaleDB (the Apache edition) and psql into a
# folder of its own. Nothing is installed into the system, root is not needed.
#
#   cdk/local/postgres/install.sh DIR     afterwards DIR/bin/{postgres,initdb,pg_ctl,psql}
#
# Debian 12 has neither, so the packages of Debian 13 and the libraries that they
# need come from the mirror this machine already uses, are checked against
# Debian's keyring by apt, and run on their own dynamic linker.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
dir=$1

# The stamp names the recipe; change it whenever what follows changes.
stamp="postgresql-17 timescaledb recipe 1"
if [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi

instead() {
	cat >&2 <<-TEXT
	$0: $1
	Install PostgreSQL 17 with TimescaleDB yourself (https://docs.timescale.com/self-hosted/latest/install/), with
	shared_preload_libraries = 'timescaledb', and name it by a superuser's DSN:
	  tests:        INSIGHTHUB_TEST_DATABASE=postgres://postgres@127.0.0.1:5432/postgres make test
	  local stack:  its host's flag -database postgres://postgres@127.0.0.1:5432/insighthub
	TEXT
	exit 1
}

system=unknown
if [ -r /etc/os-release ]; then
	system=$(. /etc/os-release && echo "${ID:-unknown} ${VERSION_ID:-}")
fi
case $system in
"debian 12" | "debian 13") ;;
*) instead "this is $system, the packages fit Debian 12 and 13" ;;
esac
arch=$(dpkg --print-architecture)
case $arch in
amd64) triplet=x86_64-linux-gnu ;;
arm64) triplet=aarch64-linux-gnu ;;
*) instead "no packages for the processor $arch" ;;
esac
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r $keyring ] || instead "$keyring is missing (package debian-archive-keyring)"

echo "unpacking PostgreSQL 17 with TimescaleDB from Debian's packages into $dir (35 MB, once)"

# Everything is put together beside the goal and renamed at the end, so that an
# interrupted run is never taken for a whole one.
mkdir -p "$(dirname "$dir")"
parent=$(cd "$(dirname "$dir")" && pwd)
dir=$parent/$(basename "$dir")
work=$(mktemp -d "$parent/.postgres-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -v security | head -1)
if [ -z "$mirror" ]; then
	mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\(http[^ ]*\) .*/\2/p' /etc/apt/sources.list 2>/dev/null | grep -v security | head -1)
fi
: "${mirror:=http://deb.debian.org/debian}"

apt=$work/apt
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$work/tree/root"
: >"$apt/status"
cat >"$apt/trixie.sources" <<TEXT
Types: deb
URIs: $mirror
Suites: trixie
Components: main
Signed-By: $keyring
TEXT
# apt with its own state: the system's lists, cache and package status stay untouched.
apt_get() {
	apt-get -qq \
		-o Dir::State="$apt/state" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" \
		-o Dir::Etc::sourcelist="$apt/trixie.sources" -o Dir::Etc::sourceparts=/nonexistent \
		-o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 \
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}
apt_get update
cd "$apt/cache/archives"
apt_get download \
	postgresql-17 postgresql-17-timescaledb postgresql-client-17 \
	libc6 libgcc-s1 libstdc++6 libicu76 libxml2 libssl3t64 libpam0g libaudit1 libcap-ng0 libcap2 libsystemd0 \
	zlib1g libzstd1 liblz4-1 liblzma5 libxxhash0 \
	libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libcom-err2 libkeyutils1 libldap2 libsasl2-2 \
	libpq5 libedit2 libbsd0 libmd0 libtinfo6
for deb in *.deb; do
	dpkg -x "$deb" "$work/tree/root"
done

cd "$work/tree"
rm -rf root/usr/lib/postgresql/17/lib/bitcode root/usr/share/locale root/usr/share/doc root/usr/share/man
mkdir bin
programs=root/usr/lib/postgresql/17/bin
linker=$(basename "$(find "root/usr/lib/$triplet" -name 'ld-linux-*.so.*' | head -1)")
for program in postgres initdb pg_ctl psql; do
	# The wrapper finds itself, so the folder may be moved.
	mv "$programs/$program" "$programs/$program.real"
	cat >"$programs/$program" <<-TEXT
	#!/bin/sh
	b=\$(dirname "\$(readlink -f "\$0")")
	l=\$(readlink -f "\$b/../../../$triplet")
	exec "\$l/$linker" --library-path "\$l" --argv0 "\$b/$program" "\$b/$program.real" "\$@"
	TEXT
	chmod 755 "$programs/$program"
	ln -s "../$programs/$program" "bin/$program"
	"bin/$program" --version >/dev/null
done
chmod -R go+rX .
chmod 755 .
echo "$stamp" >.stamp

rm -rf "$dir"
mv "$work/tree" "$dir"

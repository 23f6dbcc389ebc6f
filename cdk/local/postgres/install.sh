#!/bin/sh
# Unpacks PostgreSQL 17 with TimescaleDB (the Apache edition) and psql into a
# folder of its own. Nothing is installed into the system, root is not needed.
#
#   cdk/local/postgres/install.sh DIR     afterwards DIR/bin/{postgres,initdb,pg_ctl,psql}
#
# Debian 12 has neither, so the packages of Debian 13 and the libraries that they
# need are unpacked together and run on their own dynamic linker.
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

# shellcheck source-path=SCRIPTDIR source=../debian/unpack.sh
. "$(dirname "$(readlink -f "$0")")/../debian/unpack.sh"
debian_check
arch=$(dpkg --print-architecture)
case $arch in
amd64) triplet=x86_64-linux-gnu ;;
arm64) triplet=aarch64-linux-gnu ;;
*) instead "no packages for the processor $arch" ;;
esac

echo "unpacking PostgreSQL 17 with TimescaleDB from Debian's packages into $dir (35 MB, once)"

stage postgres
debian_unpack trixie \
	postgresql-17 postgresql-17-timescaledb postgresql-client-17 \
	libc6 libgcc-s1 libstdc++6 libicu76 libxml2 libssl3t64 libpam0g libaudit1 libcap-ng0 libcap2 libsystemd0 \
	zlib1g libzstd1 liblz4-1 liblzma5 libxxhash0 \
	libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libcom-err2 libkeyutils1 libldap2 libsasl2-2 \
	libpq5 libedit2 libbsd0 libmd0 libtinfo6

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
publish "$stamp"

#!/bin/bash
# coturn 4.6.1 (Debian 12): a denied range of peers that starts at :: denies every peer,
# also those of IPv4.
#
# Whoever closes ::/96 (the unspecified, loopback and IPv4-compatible addresses) writes
# --denied-peer-ip=::-::ffff:ffff and expects that 8.8.8.8 stays a possible peer. coturn
# takes an unspecified address at the start of a range for "any address".
#
# What to do: start the range at ::1; coturn rejects :: as a peer by itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "$(cat "$folder/pid" 2>/dev/null)" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
# Debian's packages, unpacked and not installed.
mkdir root debs && cd debs
apt-get -qq download coturn libevent-core-2.1-7 libevent-extra-2.1-7 libevent-openssl-2.1-7 libevent-pthreads-2.1-7 libhiredis0.14 \
  libmariadb3 libpq5 libsqlite3-0 libssl3 libsystemd0 libldap-2.5-0 libsasl2-2 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 \
  libkeyutils1 libcom-err2 liblzma5 liblz4-1 libzstd1 libgcrypt20 libgpg-error0 libcap2 zlib1g libssl3 libgnutls30 libp11-kit0 libidn2-0 \
  libunistring2 libtasn1-6 libnettle8 libhogweed6 libgmp10 libffi8
ls coturn_4.6.1-1_*.deb >/dev/null || { echo "another version of coturn: $(ls coturn_*)"; exit 1; }
for deb in *.deb; do dpkg -x "$deb" ../root; done
cd ..
libraries=$(find "$folder/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
mkdir client && cd client
cat > main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"os"

	"github.com/pion/turn/v5"
)

func main() {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	check(err)
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: "127.0.0.1:48478", Conn: conn, Username: "user", Password: "password", Realm: "realm",
	})
	check(err)
	check(client.Listen())
	_, err = client.Allocate()
	check(err)
	peer, err := net.ResolveUDPAddr("udp4", os.Args[1]+":5000")
	check(err)
	if err := client.CreatePermission(peer); err != nil {
		fmt.Println(os.Args[1], "denied")
	} else {
		fmt.Println(os.Args[1], "allowed")
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
GO
go mod init client >/dev/null 2>&1
go get github.com/pion/turn/v5@v5.1.3 >/dev/null 2>&1
go build -o client .
cd ..
# try RANGE prints whether 8.8.8.8 is a possible peer.
try() {
  LD_LIBRARY_PATH=$libraries root/usr/bin/turnserver -n --listening-ip=127.0.0.1 --relay-ip=127.0.0.1 --listening-port=48478 --no-tls --no-dtls --no-cli \
    --lt-cred-mech --user=user:password --realm=realm --userdb="$folder/db" --pidfile="$folder/turn.pid" --log-file=stdout \
    --denied-peer-ip="$1" >"$folder/log" 2>&1 &
  echo $! >"$folder/pid"
  for _ in $(seq 100); do grep -q 'UDP listener opened' "$folder/log" && break; sleep 0.1; done
  client/client 8.8.8.8
  kill "$(cat "$folder/pid")" && wait "$(cat "$folder/pid")" || true
}
from_zero=$(try ::-::ffff:ffff)
from_one=$(try ::1-::ffff:ffff)
echo "range from ::  $from_zero"
echo "range from ::1 $from_one"
[ "$from_zero" = '8.8.8.8 denied' ] && [ "$from_one" = '8.8.8.8 allowed' ]

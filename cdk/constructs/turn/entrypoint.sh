#!/bin/sh
# Starts coturn with the options of the task definition, which are the arguments, and with
# what only the running task knows: its addresses and the secret that it shares with the
# platform. These are in a file that nobody else can read, not on the command line.
set -eu
umask 077

fail() {
	echo "turn: $*" >&2
	exit 1
}
ipv4() {
	case $1 in *[!0-9.]*) return 1 ;; esac # of one line, which grep would not check
	printf %s "$1" | grep -qxE '([0-9]{1,3}\.){3}[0-9]{1,3}'
}

[ -n "${TURN_SECRET:-}" ] || fail 'TURN_SECRET is not set'
case $TURN_SECRET in *[!A-Za-z0-9._-]*) fail 'TURN_SECRET: want letters, digits, dots, hyphens and underscores' ;; esac

private=${TURN_PRIVATE_ADDRESS:-$(hostname -i | cut -d' ' -f1)}
ipv4 "$private" || fail "the task's own address is not of IPv4: $private"
# The address that Fargate gave to the task is translated outside of it, and not in its metadata.
public=${TURN_PUBLIC_ADDRESS:-$(curl -fsS --retry 5 --retry-all-errors --max-time 5 https://checkip.amazonaws.com)} ||
	fail 'no response of checkip.amazonaws.com: has the task a public address?'
ipv4 "$public" || fail "the task's public address is not of IPv4: $public"

config=$(mktemp -d)/turnserver.conf
cat >"$config" <<CONFIG
static-auth-secret=$TURN_SECRET
listening-ip=$private
relay-ip=$private
external-ip=$public/$private
CONFIG
unset TURN_SECRET
exec turnserver -c "$config" "$@"

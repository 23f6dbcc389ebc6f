// Package turn makes credentials for TURN servers that expire, in the form that servers with
// a shared secret verify (draft-uberti-behave-turn-rest-00; coturn's use-auth-secret): the
// user name has the time of expiry, and the password is the HMAC of the user name.
package turn

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the servers compute it: SHA-1 as a key derivation, not as a digest
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// Lifetime is how long a peer, a person's as a gateway's, may allocate relays with one
// credential. It is short because a credential cannot be revoked: peers request one before
// each connection and before each ICE restart.
const Lifetime = 10 * time.Minute

const (
	// maxUserBytes keeps the user name below the 508 bytes that RFC 8489 (14.3) allows.
	maxUserBytes = 128
	digestBytes  = 16
)

// Credential returns the user name and the password with which a server that has the secret
// allocates relays until expires, rounded down to a second; relays that exist are not ended
// then. user tells the users apart, in the server's log and in its quotas: the caller's
// subject, or its digest if it has other characters than letters, digits, '.', '_' and '-':
// servers and clients prepare other user names differently (RFC 8265), and a colon ends it.
func Credential(secret []byte, user string, expires time.Time) (name, password string) {
	name = strconv.FormatInt(expires.Unix(), 10) + ":" + plain(user)
	mac := hmac.New(sha1.New, secret)
	mac.Write([]byte(name))
	return name, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func plain(user string) string {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
	}
	if user != "" && len(user) <= maxUserBytes && !strings.ContainsFunc(user, other) {
		return user
	}
	sum := sha256.Sum256([]byte(user))
	return "sha256-" + hex.EncodeToString(sum[:digestBytes])
}

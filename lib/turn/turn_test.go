package turn_test

import (
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/turn"
)

// TestCredential: the passwords are those of
//
//	printf %s NAME | openssl dgst -sha1 -hmac SECRET -binary | base64
//
// the first user name is that of the draft's example.
func TestCredential(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		secret, user   string
		expires        int64
		name, password string
	}{
		{"north", "mbzrxpgjys", 12334939, "12334939:mbzrxpgjys", "Iq7YXkRon8YXJfdN1Ke9EZOw1UE="},
		{"shared", "gw-1", 1795438800, "1795438800:gw-1", "oOJEB7YTRlYQYqipCb9Wk0VCt3E="},
		{strings.Repeat("k", 100), "gw-1", 1795438800, "1795438800:gw-1", "qEsIrrIW2F9wqUW/y+As92LLEac="},
	} {
		name, password := turn.Credential([]byte(c.secret), c.user, time.Unix(c.expires, 999_999_999))
		if name != c.name || password != c.password {
			t.Errorf("%s: got %s %s, want %s %s", c.user, name, password, c.name, c.password)
		}
	}
}

// TestUserNames: each user has its own name of plain characters, within the limit of TURN.
func TestUserNames(t *testing.T) {
	t.Parallel()
	seen := make(map[string]string)
	for _, user := range []string{
		"gw-1", "gw 1", "gw:1", "gw\u00a01", "Halle/Süd", "Halle/Su\u0308d", "", strings.Repeat("g", 128), strings.Repeat("g", 129),
		"https://issuer.example|" + strings.Repeat("s", 489),
	} {
		name, _ := turn.Credential([]byte("shared"), user, time.Unix(1795438800, 0))
		rest, ok := strings.CutPrefix(name, "1795438800:")
		other := strings.ContainsFunc(rest, func(r rune) bool { return r <= ' ' || r == ':' || r > '~' })
		if before, twice := seen[name]; twice || !ok || other || len(name) > 508 {
			t.Errorf("%q: got the user name %q (also of %q)", user, name, before)
		}
		seen[name] = user
	}
}

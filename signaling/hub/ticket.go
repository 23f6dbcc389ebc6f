package hub

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/rtc"
)

// MinTicketKey is how many bytes the key of tickets has at least.
const MinTicketKey = 16

// ticketLifetime is that of the longest token: a ticket alone opens nothing.
const ticketLifetime = 24 * time.Hour

// ticketKey signs and opens tickets. A ticket is base64url of a JSON object, a dot and
// base64url of its HMAC-SHA-256.
type ticketKey struct {
	key []byte
	now func() time.Time
}

type ticket struct {
	Peer    rtc.PeerID `json:"peer"`
	Subject string     `json:"subject"`
	// Issued is in seconds since the Unix epoch.
	Issued int64 `json:"issued"`
}

func (k ticketKey) sign(peer rtc.PeerID, subject string) string {
	// A struct of strings and a number has a JSON form.
	body, _ := json.Marshal(ticket{peer, subject, k.now().Unix()})
	text := base64.RawURLEncoding.EncodeToString(body)
	return text + "." + base64.RawURLEncoding.EncodeToString(k.mac(text))
}

func (k ticketKey) mac(text string) []byte {
	mac := hmac.New(sha256.New, k.key)
	mac.Write([]byte("insighthub signaling ticket 1\n" + text))
	return mac.Sum(nil)
}

// open returns the peer of a ticket of that subject; false for any that is not valid.
func (k ticketKey) open(text, subject string) (rtc.PeerID, bool) {
	body, sum, ok := strings.Cut(text, ".")
	if !ok {
		return "", false
	}
	mac, err := base64.RawURLEncoding.Strict().DecodeString(sum)
	if err != nil || !hmac.Equal(mac, k.mac(body)) {
		return "", false
	}
	var t ticket
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || json.Unmarshal(raw, &t) != nil {
		return "", false
	}
	if t.Subject != subject || !t.Peer.Valid() || k.now().Sub(time.Unix(t.Issued, 0)) > ticketLifetime {
		return "", false
	}
	return t.Peer, true
}

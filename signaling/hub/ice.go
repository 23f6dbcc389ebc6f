package hub

import (
	"time"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/turn"
)

// defaultICELifetime is the lifetime of TURN credentials.
const defaultICELifetime = 10 * time.Minute

// ICE configures the servers that clients get.
type ICE struct {
	STUN, TURN []string
	// Secret is shared with the TURN servers.
	Secret []byte
	// Lifetime of the credentials; 10 minutes.
	Lifetime time.Duration
}

// servers returns the servers for a subject, with credentials of its own that expire.
func (c ICE) servers(subject string, now time.Time) ([]rtc.ICEServer, time.Time) {
	expires := now.Add(c.Lifetime).Truncate(time.Second)
	servers := make([]rtc.ICEServer, 0, 2)
	if len(c.STUN) > 0 {
		servers = append(servers, rtc.ICEServer{URLs: c.STUN})
	}
	if len(c.TURN) > 0 && len(c.Secret) > 0 {
		name, password := turn.Credential(c.Secret, subject, expires)
		servers = append(servers, rtc.ICEServer{URLs: c.TURN, Username: name, Credential: password})
	}
	return servers, expires
}

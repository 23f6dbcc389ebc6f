package rtc

const (
	// Version is the version of the protocol, in the member version of welcome.
	Version = 1
	// Subprotocol is the WebSocket subprotocol that both sides must name (RFC 6455, 1.9).
	Subprotocol = "insighthub.signaling.v1"
	// Path is the path of the service.
	Path = "/v1/signaling"

	// MaxMessageBytes limits a message of either direction.
	MaxMessageBytes = 64 << 10
	// MaxIDBytes limits the ids of requests, connections and peers.
	MaxIDBytes = 64
	// MaxReasonBytes limits the reason of a bye.
	MaxReasonBytes = 256
	// MaxMembers limits the members of one object, unknown ones included.
	MaxMembers = 64

	// HeartbeatSeconds is how often each side sends something at least; after twice that
	// time without any frame the other side is lost.
	HeartbeatSeconds = 5
	// HelloSeconds is how long the service waits for hello.
	HelloSeconds = 5
	// GraceSeconds is how long a peer whose socket is gone may resume, before it has left.
	GraceSeconds = 30

	// MaxKept limits the messages that the service remembers for a resume.
	MaxKept = 128
	// MaxKeptBytes limits their bytes.
	MaxKeptBytes = 256 << 10
)

// PeerID names a peer: one session of one client, the same after a resume. It is 1 to
// MaxIDBytes characters of A-Z a-z 0-9 _ -, and is chosen by the service.
type PeerID string

// ConnectionID names a peer connection between two peers; the peer that starts the
// connection chooses it. Same characters as a PeerID.
type ConnectionID string

// PeerKind says what a peer is.
type PeerKind string

// The kinds of peers.
const (
	Gateway PeerKind = "gateway"
	Person  PeerKind = "person"
)

// PresenceState is what happened to a peer of a room.
type PresenceState string

// The states. A peer that is lost has no socket and may resume within GraceSeconds; its peer
// connections go on. Left is for good.
const (
	StateJoined PresenceState = "joined"
	StateLeft   PresenceState = "left"
	StateLost   PresenceState = "lost"
	StateBack   PresenceState = "back"
)

// LeaveReason says why a peer has left a room; empty if it wanted to.
type LeaveReason string

// AccessEnded says that the right to be in the room has ended: the token expired, was
// denied, or was renewed by one that does not grant the room. Peer connections with that
// peer must be closed: neither they nor a relay's allocation end by themselves.
const AccessEnded LeaveReason = "access_ended"

// PeerLost says that a peer did not resume in time.
const PeerLost LeaveReason = "lost"

// Polite reports whether self is the polite peer towards other (perfect negotiation, W3C
// WebRTC, example "The perfect negotiation"): when both offer at once, the polite one gives
// way. A person is polite towards a gateway; of two peers of one kind the one with the
// smaller id is, in the order of bytes.
func Polite(self PeerID, selfKind PeerKind, other PeerID, otherKind PeerKind) bool {
	if selfKind != otherKind {
		return selfKind == Person
	}
	return self < other
}

// validID reports whether s is an id of the protocol.
func validID[S ~string](s S) bool {
	if s == "" || len(s) > MaxIDBytes {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// Valid reports whether the id has the form of one.
func (id PeerID) Valid() bool { return validID(id) }

// Valid reports whether the id has the form of one.
func (id ConnectionID) Valid() bool { return validID(id) }

package rtc

import "github.com/insighthub/insighthub/lib/telemetry"

// Type is the member type of a message.
type Type string

// Message is one message. The direction of a message that exists in both follows from
// whether it has To or From.
type Message interface {
	// Type returns the member type.
	Type() Type
}

// Hello is the first message of a client, within HelloSeconds.
type Hello struct {
	ID string `json:"id,omitempty"`
	// Token is an access token of the platform.
	Token string `json:"token"`
	// Resume asks for the session of an earlier socket.
	Resume *Resume `json:"resume,omitempty"`
}

// Resume names the session to resume.
type Resume struct {
	// Ticket is that of the last welcome.
	Ticket string `json:"ticket"`
	// Received is the seq of the last message that the client has handled.
	Received int64 `json:"received,omitempty"`
}

// Token renews the access token of the session. The response is a welcome.
type Token struct {
	ID    string `json:"id,omitempty"`
	Token string `json:"token"`
}

// Join enters the room of a site.
type Join struct {
	ID   string           `json:"id,omitempty"`
	Site telemetry.SiteID `json:"site"`
}

// Leave leaves the room of a site.
type Leave struct {
	ID   string           `json:"id,omitempty"`
	Site telemetry.SiteID `json:"site"`
}

// Offer carries the description with which a negotiation starts.
type Offer struct {
	ID         string       `json:"id,omitempty" from:"client"`
	To         PeerID       `json:"to,omitempty" from:"client,required"`
	Seq        int64        `json:"seq,omitempty" from:"server,required"`
	From       PeerID       `json:"from,omitempty" from:"server,required"`
	Connection ConnectionID `json:"connection"`
	SDP        string       `json:"sdp"`
}

// Answer carries the description that answers an offer.
type Answer struct {
	ID         string       `json:"id,omitempty" from:"client"`
	To         PeerID       `json:"to,omitempty" from:"client,required"`
	Seq        int64        `json:"seq,omitempty" from:"server,required"`
	From       PeerID       `json:"from,omitempty" from:"server,required"`
	Connection ConnectionID `json:"connection"`
	SDP        string       `json:"sdp"`
}

// Candidate carries one ICE candidate, in the members of RTCIceCandidateInit. A receiver
// keeps those that come before the description of their connection.
type Candidate struct {
	ID         string       `json:"id,omitempty" from:"client"`
	To         PeerID       `json:"to,omitempty" from:"client,required"`
	Seq        int64        `json:"seq,omitempty" from:"server,required"`
	From       PeerID       `json:"from,omitempty" from:"server,required"`
	Connection ConnectionID `json:"connection"`
	// Candidate is a candidate-attribute of RFC 8839 (5.1); null or empty says that there
	// are no more of this generation.
	Candidate     *string `json:"candidate"`
	SDPMid        *string `json:"sdpMid,omitempty"`
	SDPMLineIndex *uint16 `json:"sdpMLineIndex,omitempty"`
	// UsernameFragment is the ICE generation. The service fills it in from the candidate.
	UsernameFragment *string `json:"usernameFragment,omitempty"`
}

// Bye ends a peer connection.
type Bye struct {
	ID         string       `json:"id,omitempty" from:"client"`
	To         PeerID       `json:"to,omitempty" from:"client,required"`
	Seq        int64        `json:"seq,omitempty" from:"server,required"`
	From       PeerID       `json:"from,omitempty" from:"server,required"`
	Connection ConnectionID `json:"connection"`
	Reason     string       `json:"reason,omitempty"`
}

// ICE asks for ICE servers with credentials of the caller's own: for each connection, and
// before an ICE restart.
type ICE struct {
	ID string `json:"id,omitempty"`
}

// ICEResponse responds to ice.
type ICEResponse struct {
	Re  string `json:"re,omitempty"`
	Seq int64  `json:"seq,omitempty" from:"server,required"`
	// Servers have the form of RTCConfiguration.iceServers.
	Servers []ICEServer `json:"ice_servers"`
	// ExpiresMS is when the credentials expire: new allocations need new ones then.
	ExpiresMS int64 `json:"expires_ms"`
}

// ICEServer is an RTCIceServer.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// Ping asks for a pong, for clients that see no WebSocket pings.
type Ping struct {
	ID string `json:"id,omitempty"`
}

// Welcome responds to hello and token.
type Welcome struct {
	Re      string `json:"re,omitempty"`
	Version int    `json:"version"`
	// Peer is the client's own id.
	Peer PeerID `json:"peer"`
	// Ticket resumes the session; it is opaque and replaces earlier ones.
	Ticket string `json:"ticket"`
	// Resumed says that the session goes on: rooms are joined, and what was missed
	// follows. Otherwise the client joins its rooms; it may have the same id as before.
	Resumed          bool     `json:"resumed"`
	Kind             PeerKind `json:"kind"`
	Name             string   `json:"name"`
	HeartbeatSeconds int      `json:"heartbeat_seconds"`
	Limits           Limits   `json:"limits"`
	// TokenExpiresMS is when the access token expires: the client sends token before.
	TokenExpiresMS int64 `json:"token_expires_ms"`
	ServerTimeMS   int64 `json:"server_time_ms"`
}

// Limits are those of a session.
type Limits struct {
	MessageBytes      int `json:"message_bytes"`
	MessagesPerSecond int `json:"messages_per_second"`
	Rooms             int `json:"rooms"`
}

// Joined responds to join.
type Joined struct {
	Re    string           `json:"re,omitempty"`
	Seq   int64            `json:"seq,omitempty" from:"server,required"`
	Site  telemetry.SiteID `json:"site"`
	Peers []PeerInfo       `json:"peers"`
}

// PeerInfo describes another peer of a room.
type PeerInfo struct {
	Peer PeerID   `json:"peer"`
	Kind PeerKind `json:"kind"`
	// Name is the gateway's name or the person's account id.
	Name string `json:"name"`
	// Polite says whether the receiver is the polite one towards that peer.
	Polite bool `json:"polite"`
	// Lost says that the peer has no socket at the moment and may resume.
	Lost bool `json:"lost,omitempty"`
}

// Presence says what happened to another peer of a room.
type Presence struct {
	Seq    int64            `json:"seq,omitempty" from:"server,required"`
	Site   telemetry.SiteID `json:"site"`
	Peer   PeerID           `json:"peer"`
	Kind   PeerKind         `json:"kind"`
	Name   string           `json:"name"`
	Polite bool             `json:"polite"`
	State  PresenceState    `json:"state"`
	// Reason is set when the peer has left without wanting to.
	Reason LeaveReason `json:"reason,omitempty"`
}

// Left responds to leave, and comes unasked when the right to the room has ended.
type Left struct {
	Re     string           `json:"re,omitempty"`
	Seq    int64            `json:"seq,omitempty" from:"server,required"`
	Site   telemetry.SiteID `json:"site"`
	Reason LeaveReason      `json:"reason,omitempty"`
}

// Pong responds to ping.
type Pong struct {
	Re     string `json:"re,omitempty"`
	TimeMS int64  `json:"time_ms"`
}

// ErrorMessage reports an error; Codes says which are followed by a close.
type ErrorMessage struct {
	Re           string `json:"re,omitempty"`
	Code         Code   `json:"code"`
	Message      string `json:"message"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
}

// Move asks the client to open a new socket after the delay, and to resume there.
type Move struct {
	Seq     int64 `json:"seq,omitempty" from:"server,required"`
	DelayMS int64 `json:"delay_ms"`
	// Reconnect is always true.
	Reconnect bool `json:"reconnect"`
}

// Type implements Message.
func (Hello) Type() Type { return "hello" }

// Type implements Message.
func (Token) Type() Type { return "token" }

// Type implements Message.
func (Join) Type() Type { return "join" }

// Type implements Message.
func (Leave) Type() Type { return "leave" }

// Type implements Message.
func (Offer) Type() Type { return "offer" }

// Type implements Message.
func (Answer) Type() Type { return "answer" }

// Type implements Message.
func (Candidate) Type() Type { return "candidate" }

// Type implements Message.
func (Bye) Type() Type { return "bye" }

// Type implements Message.
func (ICE) Type() Type { return "ice" }

// Type implements Message.
func (ICEResponse) Type() Type { return "ice" }

// Type implements Message.
func (Ping) Type() Type { return "ping" }

// Type implements Message.
func (Welcome) Type() Type { return "welcome" }

// Type implements Message.
func (Joined) Type() Type { return "joined" }

// Type implements Message.
func (Presence) Type() Type { return "peer" }

// Type implements Message.
func (Left) Type() Type { return "left" }

// Type implements Message.
func (Pong) Type() Type { return "pong" }

// Type implements Message.
func (ErrorMessage) Type() Type { return "error" }

// Type implements Message.
func (Move) Type() Type { return "move" }

// ClientMessages returns a pointer to a zero value of each message that a client sends.
func ClientMessages() []Message {
	return []Message{
		&Hello{}, &Token{}, &Join{}, &Leave{}, &Offer{}, &Answer{}, &Candidate{}, &Bye{}, &ICE{}, &Ping{},
	}
}

// ServerMessages returns a pointer to a zero value of each message that the service sends.
func ServerMessages() []Message {
	return []Message{
		&Welcome{}, &Joined{}, &Presence{}, &Left{}, &Offer{}, &Answer{}, &Candidate{}, &Bye{}, &ICEResponse{}, &Pong{},
		&ErrorMessage{}, &Move{},
	}
}

package hub

import (
	"context"
	"errors"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// ErrUnknownPeer is the error of Relay.Send when the two peers share no room.
var ErrUnknownPeer = errors.New("the peers share no room")

// Peer is a member of a room.
type Peer struct {
	ID   rtc.PeerID
	Kind rtc.PeerKind
	Name string
	// Lost says that the peer has no socket at the moment, and may be back.
	Lost bool
}

// Change is what happened to a member.
type Change struct {
	State rtc.PresenceState
	// Reason is given with StateLeft; empty if the peer wanted to leave.
	Reason rtc.LeaveReason
}

// Relay connects the tasks of the service: a room's members may be on several. Its methods
// may be called concurrently, but for one peer they are called one after another.
// Implementations are in signaling/relay.
type Relay interface {
	// Enter makes the peer a member of the room. It calls entered once, on the caller's
	// goroutine and before any other member's task gets the change, with the other members,
	// also those of other tasks: every later change of the room is reported after that call.
	// The change is StateBack if the peer is a member already, on another task or lost, else
	// StateJoined. While other tasks cannot be reached Enter succeeds for this task, and
	// they get the change later. It waits for at most the relay's timeout.
	Enter(ctx context.Context, room telemetry.SiteID, p Peer, entered func(others []Peer)) error
	// Exit is the change of a member to StateLost or StateLeft. It does nothing if the peer
	// is no member on this task: it may have entered on another one meanwhile.
	Exit(ctx context.Context, room telemetry.SiteID, id rtc.PeerID, change Change) error
	// Send hands an encoded message to the task of a peer with which from shares a room.
	// Messages of one caller to one peer arrive in order, and after the change of its own
	// Enter. It copies nothing: the message must not change afterwards. Errors are
	// ErrUnknownPeer if they share no room, and telemetry.ErrUnavailable if the peer's task
	// cannot be reached now: the message may have arrived.
	Send(ctx context.Context, from, to rtc.PeerID, message []byte) error
	// Close ends the goroutines of the relay. Members of this task that have not left
	// become lost for the other tasks.
	Close() error
}

// Events is what a relay reports. Its methods are called on any goroutine, also inside the
// Enter, Exit and Send of another peer. They must not block, and must not call the relay.
type Events interface {
	// Deliver hands over a message to a peer of this task. Calls may be concurrent, except
	// for those of one sender to one peer.
	Deliver(to rtc.PeerID, message []byte)
	// Presence reports the change of a member of a room in which this task has members;
	// those of one room come one after another, in the same order for all its members. A
	// peer whose session is on this task is reported too, with StateBack, when it has
	// entered on another task: its session here is replaced, and gets no more messages.
	Presence(room telemetry.SiteID, p Peer, change Change)
}

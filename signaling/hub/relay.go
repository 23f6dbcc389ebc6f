package hub

import (
	"context"
	"errors"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// ErrUnknownPeer is the error of Relay.Send when no task has the peer.
var ErrUnknownPeer = errors.New("no task has the peer")

// Peer is a member of a room, as every task knows it.
type Peer struct {
	ID   rtc.PeerID
	Kind rtc.PeerKind
	Name string
	// Lost says that the peer has no socket at the moment; the relay sets it.
	Lost bool
}

// Change is what happened to a member of a room.
type Change struct {
	State rtc.PresenceState
	// Reason is set for a peer that has left without wanting to.
	Reason rtc.LeaveReason
}

// Relay connects the tasks of the service: who is in which room, and messages to peers that
// another task has. It is safe for concurrent use. Errors that wrap telemetry.ErrUnavailable
// may be retried; peers of this task reach each other although the other tasks cannot be
// reached.
type Relay interface {
	// Enter makes the peer a member of the room, on this task, and returns the other members,
	// those that are lost included. The others' tasks get the change: joined, or back if the
	// room had the peer already, lost or not, on this task or another. If another task had it,
	// that one gets Taken. A repetition changes nothing else.
	Enter(ctx context.Context, room telemetry.SiteID, p Peer) ([]Peer, error)
	// Exit ends the membership (left), or marks it as lost; the others' tasks get the change. It
	// changes nothing, and is no error, if the room has the peer no longer or on another task.
	Exit(ctx context.Context, room telemetry.SiteID, id rtc.PeerID, change Change) error
	// Send hands an encoded message to the peer's task, in the order of calls for one sender
	// and one receiver. The error wraps ErrUnknownPeer when no room has the peer, and
	// telemetry.ErrUnavailable when its task cannot be reached. nil does not say that the
	// peer got it. The message is not changed and may be kept.
	Send(ctx context.Context, to rtc.PeerID, message []byte) error
	// Close ends the memberships of this task's peers without a change for the others: they
	// see lost, as after a kill, so that peers which move are back without having left. It
	// waits for the relay's goroutines.
	Close() error
}

// Events is what a relay calls. The calls must not block; those for one room, and those
// Deliver for one receiver, come in order and not concurrently.
type Events interface {
	// Deliver hands over a message for a peer of this task.
	Deliver(to rtc.PeerID, message []byte)
	// Presence says what happened to a member of a room that this task has members of. Changes
	// of this task's own peers come too; the hub does not send them to the peer itself.
	Presence(room telemetry.SiteID, p Peer, change Change)
	// Taken says that another task has the membership now: the peer has resumed there.
	Taken(room telemetry.SiteID, id rtc.PeerID)
}

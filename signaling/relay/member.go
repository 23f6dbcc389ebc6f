package relay

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/signaling/hub"
)

// member is a peer in a room.
type member struct {
	hub.Peer

	// task has the peer's session.
	task string
	// since is when the peer entered on that task, in µs of that task's clock. Of two tasks
	// that both claim a peer after an outage, the later one has it.
	since int64

	// The members below are of the view alone.

	// dead is when this task found that the member's task is dead; zero if it is not.
	dead time.Time
	// absent is when the member was missing from a room that Redis had lost; zero if it was not.
	absent time.Time
}

// encode returns the value in the room's hash: task|since|lost|kind|name.
func (m *member) encode() string {
	lost := "0"
	if m.Lost {
		lost = "1"
	}
	return m.task + "|" + strconv.FormatInt(m.since, 10) + "|" + lost + "|" + string(m.Kind) + "|" + m.Name
}

// decodeMember is the inverse of encode. An error means that a task of another version, or
// somebody else, wrote the value.
func decodeMember(id rtc.PeerID, value string) (*member, error) {
	parts := strings.SplitN(value, "|", 5)
	if len(parts) != 5 {
		return nil, fmt.Errorf("member %q: got %d parts, want 5", id, len(parts))
	}
	since, err := strconv.ParseInt(parts[1], 10, 64)
	kind := rtc.PeerKind(parts[3])
	switch {
	case !id.Valid():
		return nil, fmt.Errorf("member %q: not an id of a peer", id)
	case parts[0] == "" || err != nil || strconv.FormatInt(since, 10) != parts[1]:
		return nil, fmt.Errorf("member %q: want task|since, got %q|%q", id, parts[0], parts[1])
	case parts[2] != "0" && parts[2] != "1":
		return nil, fmt.Errorf("member %q: want 0 or 1 for lost, got %q", id, parts[2])
	case kind != rtc.Gateway && kind != rtc.Person:
		return nil, fmt.Errorf("member %q: got kind %q", id, kind)
	}
	return &member{
		Peer: hub.Peer{ID: id, Kind: kind, Name: parts[4], Lost: parts[2] == "1"}, task: parts[0], since: since,
	}, nil
}

// change is one change of a room as a task reports it to another.
type change struct {
	version int64
	id      rtc.PeerID
	// value is the member's new value in the hash; empty if it has left.
	value  string
	reason rtc.LeaveReason
}

// encode returns version|id|reason|value.
func (c *change) encode() string {
	return strconv.FormatInt(c.version, 10) + "|" + string(c.id) + "|" + string(c.reason) + "|" + c.value
}

func decodeChange(text string) (change, error) {
	parts := strings.SplitN(text, "|", 4)
	if len(parts) != 4 {
		return change{}, fmt.Errorf("change: got %d parts, want 4", len(parts))
	}
	version, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil || version <= 0 || strconv.FormatInt(version, 10) != parts[0] {
		return change{}, fmt.Errorf("change: got version %q", parts[0])
	}
	c := change{version: version, id: rtc.PeerID(parts[1]), value: parts[3], reason: rtc.LeaveReason(parts[2])}
	if !c.id.Valid() {
		return change{}, fmt.Errorf("change: %q is not an id of a peer", c.id)
	}
	if c.value != "" {
		if _, err := decodeMember(c.id, c.value); err != nil {
			return change{}, fmt.Errorf("change: %w", err)
		}
	}
	return c, nil
}

package hub_test

import (
	"testing"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/signaling/hub"
)

// TestSlotsStayEven: clients that come and go do not gather in one slot, whose pings would
// all go at once.
func TestSlotsStayEven(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	const open = 4
	var clients []*client
	for range 8 * open {
		clients = append(clients, s.dial())
		if len(clients) > open {
			clients[0].close(1000)
			clients = clients[1:]
		}
		eventually.True(t, "the sockets are counted", func() bool {
			sockets, _ := hub.Slots(s.hub)
			return sockets == len(clients)
		})
	}
	if _, fullest := hub.Slots(s.hub); fullest > 1 {
		t.Errorf("a slot has %d of %d sockets, want 1", fullest, open)
	}
}

// TestSteps: a step looks at few sockets, and a service with few sockets takes few steps.
func TestSteps(t *testing.T) {
	t.Parallel()
	for open := range int64(25_001) {
		together, of := hub.SweptTogether(open)
		if together < 1 || of%together != 0 {
			t.Fatalf("with %d sockets: %d of %d slots in a step, which do not divide", open, together, of)
		}
		each := float64(open) * float64(together) / float64(of)
		if each > 100 {
			t.Fatalf("with %d sockets a step looks at %.0f", open, each)
		}
		if open < 1000 && of/together > 16 {
			t.Fatalf("with %d sockets: %d steps", open, of/together)
		}
	}
}

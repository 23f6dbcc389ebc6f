package hub_test

import (
	"testing"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/signaling/hub"
)

// FuzzSession sends any two frames in a session: the service responds or closes with a code
// of the protocol, and the other peer of the room is undisturbed.
func FuzzSession(f *testing.F) {
	f.Add([]byte(`{"type":"join","site":"plant-1"}`), []byte(`{"type":"leave","site":"plant-1"}`), true)
	f.Add([]byte(`{"type":"token","token":"x"}`), []byte(`{"type":"hello","token":"x"}`), true)
	f.Add([]byte(`{"type":"bye","to":"p","connection":"c"}`), []byte("\xff"), true)
	f.Add([]byte(`{"type":"candidate","to":"p","connection":"c","candidate":null}`), []byte{}, false)
	f.Fuzz(func(t *testing.T, first, second []byte, text bool) {
		s := start(t, func(c *hub.Config) { c.Log = quietLog() })
		viewer, machine := pair(s)
		kind := websocket.BinaryMessage
		if text {
			kind = websocket.TextMessage
		}
		_ = viewer.conn.WriteMessage(kind, first)
		_ = viewer.conn.WriteMessage(kind, second)
		_ = viewer.conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping","id":"last-of-the-fuzz-test"}`))
		for {
			m, err := viewer.read()
			if err != nil {
				if !websocket.IsCloseError(err, 1007, 1009, 4401, 4408, 4429, 1013) {
					t.Fatalf("%q, %q: got %v", first, second, err)
				}
				break
			}
			if p, ok := m.(rtc.Pong); ok && p.Re == "last-of-the-fuzz-test" {
				break
			}
		}
		machine.send(`{"type":"ping","id":"q"}`)
		for {
			switch m := machine.next().(type) {
			case rtc.Pong:
				return
			case rtc.Presence: // what the frames did to their sender
			default:
				t.Fatalf("%q, %q: the other got %#v", first, second, m)
			}
		}
	})
}

package relay_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/live/relay"
)

func dial(t *testing.T, s *relay.Server, path string) *websocket.Conn {
	t.Helper()
	c, response, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+s.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func start(t *testing.T) *relay.Server {
	t.Helper()
	s, err := relay.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func batch(times ...telemetry.Micros) (*telemetry.Batch, []telemetry.Micros) {
	b := &telemetry.Batch{}
	for _, at := range times {
		b.Append(telemetry.Event{Device: "press-01", Metric: "temperature", Time: at, Value: float64(at)})
	}
	return b, times
}

// A viewer gets each batch as a live frame of the protocol, in order, with the ages of its
// events; and the gateway's clock when it asks.
func TestRelay(t *testing.T) {
	s := start(t)
	p, err := relay.Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	viewer := dial(t, s, relay.ViewPath)
	asked := telemetry.MicrosOf(time.Now())
	if err := viewer.WriteMessage(websocket.BinaryMessage, rtc.AppendClockRequest(nil, rtc.ClockRequest{ID: 7, T0: asked})); err != nil {
		t.Fatal(err)
	}
	_, frame, err := viewer.ReadMessage() // so the viewer is known now
	if err != nil {
		t.Fatal(err)
	}
	now := telemetry.MicrosOf(time.Now())
	clock, err := rtc.DecodeClockResponse(frame)
	if err != nil || clock.ID != 7 || clock.T0 != asked || clock.T1 < asked || clock.T2 < clock.T1 || clock.T2 > now {
		t.Errorf("got %+v, %v; want times between %d and %d", clock, err, asked, now)
	}
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		b, read := batch(now+telemetry.Micros(2*i), now+telemetry.Micros(2*i+1))
		if err := p.Publish(b, read); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		_, frame, err := viewer.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		var live rtc.LiveFrame
		if err := rtc.DecodeLive(frame, &live); err != nil {
			t.Fatal(err)
		}
		var got telemetry.Batch
		if err := decoder.Decode(live.Record, &got); err != nil {
			t.Fatal(err)
		}
		want := []telemetry.Micros{now + telemetry.Micros(2*i), now + telemetry.Micros(2*i+1)}
		if received := telemetry.MicrosOf(time.Now()); live.Sent < now || live.Sent > received {
			t.Errorf("frame %d: sent at %d, want between %d and %d", i+1, live.Sent, now, received)
		}
		if diff := cmp.Diff(want, got.Time); diff != "" || live.Seq != uint32(i+1) {
			t.Fatalf("frame %d has seq %d and times (-want +got):\n%s", i+1, live.Seq, diff)
		}
		for k, age := range live.Ages {
			if read := live.Sent - telemetry.Micros(age); read != want[k] {
				t.Errorf("frame %d, event %d: read at %d, want %d", i+1, k, read, want[k])
			}
		}
	}
}

// Without a gateway the messages of viewers go nowhere; a viewer that ends disturbs nobody;
// after the relay has ended Publish says so.
func TestRelayEnds(t *testing.T) {
	s := start(t)
	lonely, leaving := dial(t, s, relay.ViewPath), dial(t, s, relay.ViewPath)
	if err := lonely.WriteMessage(websocket.BinaryMessage, []byte{2}); err != nil {
		t.Fatal(err)
	}
	p, err := relay.Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	_ = leaving.Close()
	got := make(chan []byte, 1)
	go func() {
		if _, frame, err := lonely.ReadMessage(); err == nil {
			got <- frame
		}
		close(got)
	}()
	eventually.True(t, "a frame arrives", func() bool {
		if err := p.Publish(batch(1)); err != nil {
			t.Fatal(err)
		}
		return len(got) > 0
	})
	if frame := <-got; frame[0] != byte(rtc.FrameLive) {
		t.Errorf("got a frame of kind %d, want a live one", frame[0])
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	eventually.True(t, "Publish fails", func() bool { return p.Publish(batch(1)) != nil })
}

// A newer gateway takes over from the older one, whose Publish says so.
func TestNewerGatewayWins(t *testing.T) {
	s := start(t)
	old, err := relay.Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	newer, err := relay.Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = newer.Close() }()
	eventually.True(t, "the older one ends", func() bool { return old.Publish(batch(1)) != nil })
	if err := newer.Publish(batch(1)); err != nil {
		t.Error(err)
	}
}

func TestDialNobody(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := relay.Dial(ctx, "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "relay") {
		t.Errorf("got error %v, want one that names the relay", err)
	}
	s := start(t)
	response, err := http.Get("http://" + s.Addr() + relay.ViewPath)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP: got status %d, want %d", response.StatusCode, http.StatusBadRequest)
	}
}

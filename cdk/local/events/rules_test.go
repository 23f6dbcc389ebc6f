package events_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/insighthub/insighthub/cdk/local/events"
)

// target receives events. Its first deliveries fail.
type target struct {
	mu       sync.Mutex
	fails    int
	got      []string
	attempts int
}

func (g *target) deliver(ctx context.Context, event []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.attempts++; g.attempts <= g.fails {
		return fmt.Errorf("attempt %d", g.attempts)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var e struct{ Detail json.RawMessage }
	if err := json.Unmarshal(event, &e); err != nil {
		return err
	}
	g.got = append(g.got, string(e.Detail))
	return nil
}

func pattern(t *testing.T, text string) events.Pattern {
	t.Helper()
	p, err := events.ParsePattern([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func putAll(t *testing.T, c *eventbridge.Client, entries ...types.PutEventsRequestEntry) {
	t.Helper()
	out, err := c.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: entries})
	if err != nil || out.FailedEntryCount > 0 {
		t.Fatalf("%+v, %v", out, err)
	}
}

func TestRulesDeliverWhatMatches(t *testing.T) {
	var lines bytes.Buffer
	s := events.New(t.Context(), events.Config{
		Buses: []string{"a", "b"}, Out: &lines, Now: time.Now,
		Undelivered: func(rule string, _ []byte, err error) { t.Error(rule, err) },
	})
	targets := make(map[string]*target)
	var rules []events.Rule
	for name, r := range map[string]struct{ bus, pattern string }{
		"all of s":     {"a", `{"source":["s"]}`},
		"other source": {"a", `{"source":["x","y"]}`},
		"other bus":    {"b", `{"source":["s"]}`},
		"both":         {"a", `{"source":["x","s"],"detail-type":["t"]}`},
		"one of them":  {"a", `{"source":["s"],"detail-type":["other"]}`},
		"detail":       {"a", `{"detail":{"level":{"of":["high",2]}}}`},
		"of a list":    {"a", `{"detail":{"tags":["red"]}}`},
		"not there":    {"a", `{"detail":{"gone":[null]}}`},
	} {
		targets[name] = &target{}
		rules = append(rules, events.Rule{Name: name, Bus: r.bus, Pattern: pattern(t, r.pattern), Deliver: targets[name].deliver})
	}
	s.Connect(rules)
	c := client(t, s)
	putAll(t, c, put("s", `{"n":1,"level":{"of":"high"}}`, "a"), put("s", `{"n":2,"level":"high","tags":["blue","red"]}`, "a"))
	s.Drain(t.Context())
	for name, want := range map[string]int{
		"all of s": 2, "both": 2, "detail": 1, "of a list": 1, "other source": 0, "other bus": 0,
		"one of them": 0, "not there": 0,
	} {
		if got := len(targets[name].got); got != want {
			t.Errorf("%s: got %d events, want %d", name, got, want)
		}
	}
	putAll(t, c, put("s", `{}`, "a"))
	if n := strings.Count(lines.String(), "\n"); n != 3 || len(targets["all of s"].got) != 2 {
		t.Errorf("got %d lines and %d deliveries, want 3 and 2: none after Drain", n, len(targets["all of s"].got))
	}
}

func TestDeliveryIsRetriedTwice(t *testing.T) {
	for fails, want := range map[int]string{0: "delivered", 2: "delivered", 3: "undelivered"} {
		got := "delivered"
		g := &target{fails: fails}
		s := events.New(t.Context(), events.Config{
			Buses: []string{"a"}, Out: &bytes.Buffer{}, Now: time.Now, Pause: time.Microsecond,
			Undelivered: func(rule string, event []byte, err error) {
				if got = "undelivered"; rule != "r" || err == nil || !bytes.Contains(event, []byte(`"detail":{"n":1}`)) {
					t.Errorf("undelivered of %s: %s, %v", rule, event, err)
				}
			},
		})
		s.Connect([]events.Rule{{Name: "r", Bus: "a", Pattern: pattern(t, `{"source":["s"]}`), Deliver: g.deliver}})
		putAll(t, client(t, s), put("s", `{"n":1}`, "a"))
		s.Drain(t.Context())
		if got != want || g.attempts != min(fails+1, 3) {
			t.Errorf("%d failures: got %s after %d attempts, want %s", fails, got, g.attempts, want)
		}
	}
}

// TestDrainEnds checks that Drain aborts the retries when its context ends.
func TestDrainEnds(t *testing.T) {
	undelivered := make(chan error, 1)
	s := events.New(t.Context(), events.Config{
		Buses: []string{"a"}, Out: &bytes.Buffer{}, Now: time.Now, Pause: time.Hour,
		Undelivered: func(_ string, _ []byte, err error) { undelivered <- err },
	})
	s.Connect([]events.Rule{{
		Bus: "a", Pattern: pattern(t, `{"source":["s"]}`),
		Deliver: func(context.Context, []byte) error { return errors.New("unavailable") },
	}})
	putAll(t, client(t, s), put("s", `{}`, "a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Drain(ctx)
	if err := <-undelivered; err == nil {
		t.Error("got no error")
	}
}

func TestParsePattern(t *testing.T) {
	for _, text := range []string{``, `[]`, `{}`, `{"a":1}`, `{"a":[{"prefix":"x"}]}`, `{"a":{"b":[[1]]}}`, `{"a":{}}`, `null`} {
		if p, err := events.ParsePattern([]byte(text)); err == nil {
			t.Errorf("%s: got %+v, want an error", text, p)
		}
	}
}

// FuzzParsePattern checks that no pattern matches an empty event.
func FuzzParsePattern(f *testing.F) {
	f.Add([]byte(`{"source":["s"],"detail":{"a":[1,null,"x"]}}`))
	f.Add([]byte(`{"a":[{"prefix":"x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := events.ParsePattern(text)
		if err == nil && (p.Matches([]byte(`{}`)) || p.Matches(nil)) {
			t.Errorf("%s matches an empty event", text)
		}
	})
}

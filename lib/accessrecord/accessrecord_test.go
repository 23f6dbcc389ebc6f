package accessrecord

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/directory"
)

// memory is a store that adds up.
type memory struct {
	mu     sync.Mutex
	writes int
	counts map[string]int64
	err    error
}

func (m *memory) AddAccesses(ctx context.Context, lines []directory.Access) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if m.err != nil || ctx.Err() != nil {
		return errors.Join(m.err, ctx.Err())
	}
	for i := range lines {
		m.counts[fmt.Sprint(lines[i].Minute().Unix(), lines[i].Selection)] += lines[i].Count
	}
	return nil
}

func (m *memory) sum() (sum int64) {
	for _, n := range m.counts {
		sum += n
	}
	return sum
}

func newRecorder(t *testing.T, store Store, log io.Writer, now func() time.Time) *Recorder {
	t.Helper()
	r, err := New(Config{Store: store, Log: slog.New(slog.NewJSONHandler(log, nil)), Registerer: prometheus.NewRegistry(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestNothingIsLost: whatever requests run at once, the counts sum to the reads, a repeated
// read costs no write, and what is remembered is bounded.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	store := &memory{counts: map[string]int64{}}
	r := newRecorder(t, store, io.Discard, func() time.Time { return at })
	const workers, reads, selections = 8, 3000, 1500
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := range reads {
				r.Record(t.Context(), directory.Access{Subject: "ada", Selection: fmt.Sprint(i % selections)})
			}
		})
	}
	all.Wait()
	if len(r.lines) > maxLines {
		t.Errorf("remembers %d lines, want at most %d", len(r.lines), maxLines)
	}
	at = at.Add(time.Minute)
	r.Record(t.Context(), directory.Access{Subject: "ada", Selection: "last"})
	if len(r.lines) != 1 {
		t.Errorf("remembers %d lines of the minute before", len(r.lines)-1)
	}
	writes := store.writes
	for range 100 {
		r.Record(t.Context(), directory.Access{Subject: "ada", Selection: "last"})
	}
	if store.writes != writes {
		t.Errorf("100 repeated reads cost %d writes", store.writes-writes)
	}
	r.Shutdown(t.Context())
	if got, want := store.sum(), int64(workers*reads+101); got != want {
		t.Errorf("got %d reads, want %d", got, want)
	}
}

// TestClientGone: a read whose client has disconnected is recorded all the same.
func TestClientGone(t *testing.T) {
	t.Parallel()
	store := &memory{counts: map[string]int64{}}
	r := newRecorder(t, store, io.Discard, time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.Record(ctx, directory.Access{Subject: "ada"})
	if store.sum() != 1 {
		t.Error("not recorded")
	}
}

// TestLogged: what the store does not take is in the log, with its count.
func TestLogged(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	store := &memory{counts: map[string]int64{}, err: errors.New("down")}
	r := newRecorder(t, store, &log, time.Now)
	for range 5 {
		r.Record(t.Context(), directory.Access{Subject: "ada", Operation: "getMe"})
	}
	r.Shutdown(t.Context())
	if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, `"count":1`) || !strings.Contains(got, `"count":4`) {
		t.Errorf("got %s", got)
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()
	long := func(end string) url.Values { return url.Values{"metric": {strings.Repeat("é", 800) + end}} }
	for _, c := range []struct {
		selected url.Values
		want     string
	}{
		{nil, ""},
		{url.Values{"to": {"2"}, "from": {"1"}, "gateway": {"a b&c=d"}}, "from=1&gateway=a+b%26c%3Dd&to=2"},
	} {
		if got := Selection(c.selected); got != c.want {
			t.Errorf("%v: got %q, want %q", c.selected, got, c.want)
		}
	}
	a, b := Selection(long("a")), Selection(long("b"))
	if len(a) != maxSelectionBytes || len(b) != maxSelectionBytes || a == b {
		t.Errorf("got %d and %d bytes, equal %t", len(a), len(b), a == b)
	}
}

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

	"github.com/google/go-cmp/cmp"
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
	const workers, reads, callers, selections = 8, 9000, 100, 45 // 4,500 lines
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := range reads {
				r.Record(t.Context(), directory.Access{Subject: fmt.Sprint(i % callers), Selection: fmt.Sprint(i / callers % selections)})
			}
		})
	}
	all.Wait()
	if len(r.lines) > maxRemembered {
		t.Errorf("remembers %d lines, want at most %d", len(r.lines), maxRemembered)
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

// TestBoundPerCaller: whatever one caller selects within a minute and from whatever addresses,
// its lines are bounded, each of its reads is counted with its site and operation, and those
// of another caller keep their selection.
func TestBoundPerCaller(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	type kind struct{ site, operation string }
	lines, kinds, sources := map[line]int64{}, map[kind]int64{}, map[string]bool{}
	store := storeFunc(func(written []directory.Access) {
		for _, a := range written {
			a.RequestID = ""
			lines[lineOf(&a)] += a.Count
			kinds[kind{string(a.Site), a.Operation}] += a.Count
			if a.Selection == Others {
				sources[a.Source] = true
			}
		}
	})
	r := newRecorder(t, store, io.Discard, func() time.Time { return at })
	const reads = 2000
	want := map[kind]int64{}
	for i := range reads {
		a := directory.Access{
			Subject: "eve", Site: "plant-1", Operation: "listAnomalies", Selection: fmt.Sprint("gateway=", i), Source: "192.0.2.1",
		}
		if i%4 == 3 {
			a.Site, a.Operation, a.Source = "plant-2", "getReadings", fmt.Sprint("2001:db8::", i)
		}
		want[kind{string(a.Site), a.Operation}]++
		r.Record(t.Context(), a)
	}
	r.Record(t.Context(), directory.Access{Subject: "bob", Operation: "getMe", Selection: "a=1"})
	want[kind{"", "getMe"}]++
	r.Shutdown(t.Context())
	// Bob's, eve's first, and those of Others: of plant-1, and of plant-2 by address.
	if most := 1 + MaxLines + 1 + maxSources; len(lines) != most {
		t.Errorf("got %d lines, want %d", len(lines), most)
	}
	if len(sources) != maxSources+1 || !sources[""] {
		t.Errorf("got the addresses %v, want %d and none", sources, maxSources)
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("reads (-want +got):\n%s", diff)
	}
	if lines[line{minute: at.Unix(), subject: "bob", operation: "getMe", selection: "a=1"}] != 1 {
		t.Error("bob's line has lost its selection")
	}
	// The next minute has its own bound.
	at = at.Add(time.Minute)
	r.Record(t.Context(), directory.Access{Subject: "eve", Selection: "gateway=1"})
	if lines[line{minute: at.Unix(), subject: "eve", selection: "gateway=1"}] != 1 {
		t.Error("the next minute's line has lost its selection")
	}
}

// TestManyCallers: the bound of a caller holds whatever others read, and the number of callers
// that are remembered is bounded.
func TestManyCallers(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	eve, reads := map[string]bool{}, int64(0)
	r := newRecorder(t, storeFunc(func(written []directory.Access) {
		for _, a := range written {
			if reads += a.Count; a.Subject == "eve" {
				eve[a.Selection] = true
			}
		}
	}), io.Discard, func() time.Time { return at })
	for i := range maxCallers + 100 {
		r.Record(t.Context(), directory.Access{Subject: "eve", Selection: fmt.Sprint(i)})
		r.Record(t.Context(), directory.Access{Subject: fmt.Sprint(i)})
	}
	r.Shutdown(t.Context())
	if len(eve) != MaxLines+1 || len(r.callers) != maxCallers || len(r.lines) > maxRemembered || reads != 2*(maxCallers+100) {
		t.Errorf("got %d lines of eve, %d callers, %d lines, %d reads", len(eve), len(r.callers), len(r.lines), reads)
	}
}

// storeFunc is a store.
type storeFunc func(lines []directory.Access)

func (f storeFunc) AddAccesses(_ context.Context, lines []directory.Access) error {
	f(lines)
	return nil
}

// TestMovingRange: reads whose range moves are one line with the range of all; one without an
// end makes it open.
func TestMovingRange(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	var last directory.Access
	writes := 0
	r := newRecorder(t, storeFunc(func(written []directory.Access) {
		writes, last = writes+1, written[0]
	}), io.Discard, func() time.Time { return at })
	for i := range 10 {
		end := at.Add(time.Duration((i*7)%10) * time.Second) // not in order
		r.Record(t.Context(), directory.Access{Selection: "from=&to=", From: end.Add(-time.Hour), To: end})
	}
	r.Shutdown(t.Context())
	if want := "from=2026-11-30T11%3A00%3A00Z&to=2026-11-30T12%3A00%3A09Z"; writes != 2 || last.Count != 9 || Selected(last) != want {
		t.Errorf("got %d writes, %+v, %s", writes, last, Selected(last))
	}
	r.Record(t.Context(), directory.Access{Selection: "from=&to=", From: at})
	r.Shutdown(t.Context())
	if !last.To.IsZero() {
		t.Errorf("got %+v, want an open range", last)
	}
}

// TestWiderRange: a read of far more than is written of its line is written before its
// response leaves; that the range becomes longer costs few writes all the same.
func TestWiderRange(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	var last directory.Access
	writes := 0
	r := newRecorder(t, storeFunc(func(written []directory.Access) {
		writes, last = writes+1, written[0]
	}), io.Discard, func() time.Time { return at })
	read := func(length time.Duration) {
		r.Record(t.Context(), directory.Access{Selection: "from=&to=", From: at.Add(-length), To: at})
	}
	read(time.Hour)
	read(2 * time.Hour)
	if writes != 1 {
		t.Errorf("got %d writes of twice the range, want 1", writes)
	}
	years := 87600 * time.Hour
	read(years)
	if writes != 2 || last.Count != 2 || !last.From.Equal(at.Add(-years)) {
		t.Errorf("got %d writes, %+v; want the years in the second", writes, last)
	}
	at = at.Add(time.Minute)
	writes = 0
	for i := range 10_000 {
		read(time.Duration(i+1) * time.Hour)
	}
	if writes > 15 { // 2 to the power of 14 is more than 10,000
		t.Errorf("got %d writes of a range that becomes longer", writes)
	}
}

func TestSelected(t *testing.T) {
	t.Parallel()
	from, to := time.Unix(0, 0), time.Date(2026, 1, 2, 0, 0, 0, 1000, time.FixedZone("", 3600))
	for _, c := range []struct {
		selection string
		from, to  time.Time
		want      string
	}{
		{"", time.Time{}, time.Time{}, ""},
		{"a=1&from=&gateway=b&to=", from, to, "a=1&from=1970-01-01T00%3A00%3A00Z&gateway=b&to=2026-01-01T23%3A00%3A00.000001Z"},
		{"a=1&from=x", time.Time{}, time.Time{}, "a=1&from=x"}, // a line of before, or no time
		{Others, from, time.Time{}, "others&from=1970-01-01T00%3A00%3A00Z"},
		{Others, time.Time{}, time.Time{}, "others"},
	} {
		if got := Selected(directory.Access{Selection: c.selection, From: c.from, To: c.to}); got != c.want {
			t.Errorf("%q: got %q, want %q", c.selection, got, c.want)
		}
	}
	long := directory.Access{Selection: Selection(url.Values{"a": {strings.Repeat("x", 2000)}}), From: to, To: to}
	if got := Selected(long); len(got) > 1024 || !strings.HasSuffix(got, "Z") {
		t.Errorf("got %d bytes: %s", len(got), got)
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

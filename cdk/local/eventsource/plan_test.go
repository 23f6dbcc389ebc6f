package eventsource

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestLaneOf(t *testing.T) {
	t.Parallel()
	for n := 1; n <= maxParallelization; n++ {
		count := make([]int, n)
		for i := range 10_000 {
			key := fmt.Sprintf("gw-%d", i)
			l := laneOf(key, n)
			if l != laneOf(key, n) {
				t.Fatalf("laneOf(%q, %d) differs between two calls", key, n)
			}
			count[l]++
		}
		for l, c := range count {
			if c < 8_000/n || c > 12_000/n {
				t.Errorf("%d lanes: lane %d has %d of 10,000 keys, want about %d", n, l, c, 10_000/n)
			}
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sizes            []int
		batchSize, bytes int
		n                int
		full             bool
	}{
		"nothing":               {nil, 10, 1000, 0, false},
		"some":                  {[]int{100, 100}, 10, 1000, 2, false},
		"batch size":            {[]int{1, 1, 1}, 2, 1000, 2, true},
		"batch size exactly":    {[]int{1, 1}, 2, 1000, 2, true},
		"payload bound":         {[]int{400, 400, 400}, 10, 1000, 2, true},
		"payload bound exactly": {[]int{486, 500}, 10, 1000, 2, true},
		"one larger than all":   {[]int{5000, 1}, 10, 1000, 1, true},
	} {
		n, full := cut(func(i int) int { return c.sizes[i] }, len(c.sizes), c.batchSize, c.bytes)
		if n != c.n || full != c.full {
			t.Errorf("%s: cut = %d, %v; want %d, %v", name, n, full, c.n, c.full)
		}
	}
}

func TestHoldFor(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		window     time.Duration
		full, last bool
		waited     time.Duration
		want       time.Duration
	}{
		"no window":     {0, false, false, 0, 0},
		"young":         {time.Second, false, false, 300 * time.Millisecond, 700 * time.Millisecond},
		"window over":   {time.Second, false, false, 2 * time.Second, 0},
		"full":          {time.Second, true, false, 0, 0},
		"end of shard":  {time.Second, false, true, 0, 0},
		"window's edge": {time.Second, false, false, time.Second, 0},
	} {
		if got := holdFor(c.window, c.full, c.last, start, start.Add(c.waited)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestExpired(t *testing.T) {
	t.Parallel()
	now := time.Unix(10_000, 0)
	ages := []time.Duration{90 * time.Second, 61 * time.Second, 60 * time.Second, time.Second}
	arrival := func(i int) time.Time { return now.Add(-ages[i]) }
	if n := expired(arrival, len(ages), time.Minute, now); n != 2 {
		t.Errorf("expired = %d, want 2", n)
	}
	if n := expired(arrival, len(ages), Infinite, now); n != 0 {
		t.Errorf("expired without a bound = %d, want 0", n)
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	find := func(s string) (int, bool) {
		i, ok := map[string]int{"10": 0, "11": 1, "12": 2}[s]
		return i, ok
	}
	all, ok := outcome{kind: failed}, outcome{kind: succeeded}
	failures := func(list string) Response { return Response{Payload: []byte(`{"batchItemFailures":` + list + `}`)} }
	for name, c := range map[string]struct {
		r        Response
		err      error
		noReport bool
		want     outcome
	}{
		"nothing":             {r: Response{}, want: ok},
		"null":                {r: Response{Payload: []byte("null")}, want: ok},
		"empty object":        {r: Response{Payload: []byte("{}")}, want: ok},
		"empty list":          {r: failures(`[]`), want: ok},
		"null list":           {r: failures(`null`), want: ok},
		"one":                 {r: failures(`[{"itemIdentifier":"11"}]`), want: outcome{partly, 1}},
		"the lowest of more":  {r: failures(`[{"itemIdentifier":"12"},{"itemIdentifier":"11"}]`), want: outcome{partly, 1}},
		"the first":           {r: failures(`[{"itemIdentifier":"10"}]`), want: outcome{partly, 0}},
		"unknown":             {r: failures(`[{"itemIdentifier":"99"}]`), want: all},
		"one known, one not":  {r: failures(`[{"itemIdentifier":"12"},{"itemIdentifier":"9"}]`), want: all},
		"empty identifier":    {r: failures(`[{"itemIdentifier":""}]`), want: all},
		"null identifier":     {r: failures(`[{"itemIdentifier":null}]`), want: all},
		"wrong key":           {r: failures(`[{"itemId":"11"}]`), want: all},
		"not JSON":            {r: Response{Payload: []byte(`{`)}, want: all},
		"wrong type":          {r: failures(`7`), want: all},
		"not asked to report": {r: failures(`[{"itemIdentifier":"11"}]`), noReport: true, want: ok},
		"function error":      {r: Response{FunctionError: "Unhandled", Payload: []byte(`{}`)}, want: all},
		"throttled":           {err: ErrThrottled, want: outcome{kind: notInvoked}},
		"no process":          {err: errors.New("fork"), want: outcome{kind: notInvoked}},
	} {
		if got := classify(c.r, c.err, !c.noReport, find); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// Whatever a function returns, the outcome is one of the four and within the batch.
func FuzzClassify(f *testing.F) {
	for _, response := range []string{
		"", "null", "{}", `{"batchItemFailures":[]}`, `{"batchItemFailures":[{"itemIdentifier":"11"},{"itemIdentifier":"10"}]}`,
		`{"batchItemFailures":[{"itemIdentifier":null}]}`, `{"batchItemFailures":[{}]}`, `[`, `7`, `"text"`,
	} {
		f.Add([]byte(response))
	}
	batch := []string{"10", "11", "12"}
	f.Fuzz(func(t *testing.T, response []byte) {
		o := classify(Response{Payload: response}, nil, true, func(s string) (int, bool) {
			i := slices.Index(batch, s)
			return i, i >= 0
		})
		if o.kind == notInvoked || o.first < 0 || o.first >= len(batch) || o.kind != partly && o.first != 0 {
			t.Errorf("classify(%q) = %+v, want an outcome within the batch", response, o)
		}
	})
}

func TestNext(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bisect      bool
		retries     int
		n, attempts int
		o           outcome
		want        step
	}{
		"success":                          {true, 3, 5, 2, outcome{kind: succeeded}, step{done: 5}},
		"throttled keeps attempts":         {true, 3, 5, 3, outcome{kind: notInvoked}, step{attempts: 3, pause: true}},
		"failed":                           {false, 3, 5, 0, outcome{kind: failed}, step{attempts: 1, pause: true}},
		"last retry":                       {false, 3, 5, 2, outcome{kind: failed}, step{attempts: 3, pause: true}},
		"retries exhausted":                {false, 3, 5, 3, outcome{kind: failed}, step{discard: 5}},
		"no retries":                       {false, 0, 5, 0, outcome{kind: failed}, step{discard: 5}},
		"endless retries":                  {false, -1, 5, 9999, outcome{kind: failed}, step{attempts: 10000, pause: true}},
		"halved":                           {true, 3, 5, 0, outcome{kind: failed}, step{split: 2, pause: true}},
		"halving consumes no attempt":      {true, 3, 2, 3, outcome{kind: failed}, step{split: 1, attempts: 3, pause: true}},
		"a single record is not halved":    {true, 3, 1, 0, outcome{kind: failed}, step{attempts: 1, pause: true}},
		"single, exhausted":                {true, 3, 1, 3, outcome{kind: failed}, step{discard: 1}},
		"partly":                           {false, 3, 5, 0, outcome{partly, 2}, step{done: 2, attempts: 1, pause: true}},
		"partly, exhausted":                {false, 3, 5, 3, outcome{partly, 2}, step{done: 2, discard: 3}},
		"partly splits at the number":      {true, 3, 5, 1, outcome{partly, 2}, step{done: 2, attempts: 1, pause: true}},
		"partly at the first":              {true, 3, 5, 1, outcome{partly, 0}, step{split: 2, attempts: 1, pause: true}},
		"partly at the first and only":     {true, 3, 1, 1, outcome{partly, 0}, step{attempts: 2, pause: true}},
		"partly at the first, not bisects": {false, 3, 5, 1, outcome{partly, 0}, step{attempts: 2, pause: true}},
	} {
		s := &Settings{BisectOnError: c.bisect, MaxRetries: c.retries}
		if diff := cmp.Diff(c.want, next(s, c.n, c.attempts, c.o), cmp.AllowUnexported(step{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

// A step accounts for each record once, and splits come to an end.
func TestNextProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := &Settings{
			BisectOnError: rapid.Bool().Draw(t, "bisect"),
			MaxRetries:    rapid.IntRange(-1, 5).Draw(t, "retries"),
		}
		n := rapid.IntRange(1, 50).Draw(t, "n")
		attempts := rapid.IntRange(0, 5).Draw(t, "attempts")
		o := outcome{kind: outcomeKind(rapid.IntRange(0, 3).Draw(t, "kind"))}
		if o.kind == partly {
			o.first = rapid.IntRange(0, n-1).Draw(t, "first")
		}
		got := next(s, n, attempts, o)
		rest := n - got.done - got.discard
		if got.done < 0 || got.discard < 0 || rest < 0 {
			t.Fatalf("%+v: more than the %d records", got, n)
		}
		if rest > 0 && !got.pause {
			t.Fatalf("%+v: retries without a pause", got)
		}
		if got.split > 0 && (got.split >= rest || rest-got.split > n-1) {
			t.Fatalf("%+v: split of %d records", got, rest)
		}
		progress := got.done > 0 || got.discard > 0 || got.split > 0 || got.attempts > attempts
		if o.kind != notInvoked && !progress {
			t.Fatalf("%+v after %+v: no progress", got, o)
		}
		if o.kind == notInvoked && (got.discard > 0 || got.done > 0 || got.attempts != attempts) {
			t.Fatalf("%+v: changes something, though the function was not invoked", got)
		}
	})
}

func TestPause(t *testing.T) {
	t.Parallel()
	b := Backoff{Min: 100 * time.Millisecond, Max: time.Second}
	var got []time.Duration
	for n := 1; n <= 6; n++ {
		got = append(got, b.pause(n))
	}
	want := []time.Duration{100e6, 200e6, 400e6, 800e6, 1e9, 1e9}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var p progress
		n := rapid.IntRange(1, 60).Draw(t, "n")
		finished := make([]bool, n)
		ordinals := make([]int, n)
		for i := range n {
			ordinals[i] = p.add(fmt.Sprint(i))
		}
		perm := rapid.Permutation(indices(n)).Draw(t, "order")
		watermark := -1
		for _, i := range perm {
			got := p.finish(ordinals[i])
			finished[i] = true
			before := watermark
			for watermark+1 < n && finished[watermark+1] {
				watermark++
			}
			want := ""
			if watermark > before {
				want = fmt.Sprint(watermark)
			}
			if got != want {
				t.Fatalf("finish(%d) = %q, want %q", i, got, want)
			}
		}
		if len(p.open) != 0 {
			t.Fatalf("%d records open, want 0", len(p.open))
		}
	})
}

func indices(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func TestValidate(t *testing.T) {
	t.Parallel()
	good := testSettings()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Settings){
		"batch size 0":      func(s *Settings) { s.BatchSize = 0 },
		"batch size":        func(s *Settings) { s.BatchSize = 10_001 },
		"window":            func(s *Settings) { s.Window = 301 * time.Second },
		"lanes":             func(s *Settings) { s.Parallelization = 11 },
		"no lanes":          func(s *Settings) { s.Parallelization = 0 },
		"retries":           func(s *Settings) { s.MaxRetries = -2 },
		"age":               func(s *Settings) { s.MaxRecordAge = time.Second },
		"no start":          func(s *Settings) { s.StartingPosition = "" },
		"tumbling window":   func(s *Settings) { s.TumblingWindow = time.Second },
		"filter":            func(s *Settings) { s.Filtered = true },
		"no stream":         func(s *Settings) { s.Stream = "" },
		"backwards backoff": func(s *Settings) { s.Backoff = Backoff{Min: 2, Max: 1} },
	} {
		s := testSettings()
		change(&s)
		if err := s.Validate(); !errors.Is(err, ErrSettings) {
			t.Errorf("%s: error %v, want %v", name, err, ErrSettings)
		}
	}
}

func testSettings() Settings {
	return Settings{
		ID: "7f0c2d0e-0000-4000-8000-000000000001", Stream: "telemetry",
		StreamARN:   "arn:aws:kinesis:eu-central-1:000000000000:stream/telemetry",
		FunctionARN: "arn:aws:lambda:eu-central-1:000000000000:function:store",
		RoleARN:     "arn:aws:iam::000000000000:role/store", Region: "eu-central-1",
		BatchSize: 100, Parallelization: 1, MaxRetries: 3, MaxRecordAge: time.Hour,
		StartingPosition: TrimHorizon, ReportItemFailures: true, Backoff: DefaultBackoff(),
	}
}

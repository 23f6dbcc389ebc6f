package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/docs/contracttest"
	"github.com/insighthub/insighthub/lib/accessrecord"
	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

// recording is the function with an access record, whose clock the test sets.
type recording struct {
	*platform
	recorder *accessrecord.Recorder
	registry *prometheus.Registry
	log      bytes.Buffer
	now      time.Time
	down     bool
}

// AddAccesses implements accessrecord.Store.
func (r *recording) AddAccesses(ctx context.Context, lines []directory.Access) error {
	if r.down {
		return errors.Join(telemetry.ErrUnavailable, ctx.Err())
	}
	return r.Pool.AddAccesses(ctx, lines)
}

func newRecording(t *testing.T) *recording {
	t.Helper()
	pool, dsn := timescaletest.OpenAs(t, timescale.FunctionAPI)
	r := &recording{registry: prometheus.NewRegistry(), now: time.Now().Truncate(time.Minute).Add(10 * time.Second)}
	var err error
	r.recorder, err = accessrecord.New(accessrecord.Config{
		Store: r, Log: slog.New(slog.NewJSONHandler(&r.log, nil)), Registerer: r.registry, Now: func() time.Time { return r.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	kpis := &fakeKPIs{}
	handler := wire(pool, slog.New(slog.DiscardHandler), services{
		files: exportBucket(t), kpis: kpis, ice: testICE(), recorder: r.recorder,
	})
	r.platform = &platform{apitest.New(t, pool, dsn, handler), kpis}
	return r
}

type accessLine struct {
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Count     int       `json:"count"`
	Subject   string    `json:"subject"`
	Account   *string   `json:"account"`
	Role      string    `json:"role"`
	Site      string    `json:"site"`
	Operation string    `json:"operation"`
	Selection string    `json:"selection"`
	Status    int       `json:"status"`
	Source    string    `json:"source"`
	RequestID string    `json:"request_id"`
}

// lines returns the lines of a filter, without the times.
func (r *recording) lines(t *testing.T, reader *lambdahttp.Caller, filter string) (lines []accessLine) {
	t.Helper()
	var page list[accessLine]
	r.get(t, reader, "/v1/access?"+filter, &page)
	for _, a := range page.Items {
		if a.First.IsZero() || a.Last.Before(a.First) {
			t.Errorf("got %+v", a)
		}
		a.First, a.Last = time.Time{}, time.Time{}
		lines = append(lines, a)
	}
	return lines
}

// TestEveryReadIsRecorded: each route that shows something has its operation's name, and no
// other route has one.
func TestEveryReadIsRecorded(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	handler := resources(p.Pool, slog.New(slog.DiscardHandler), services{files: exportBucket(t), kpis: p.kpis, ice: testICE()})
	contract, reads := contracttest.Open(t), handler.Reads()
	for _, pattern := range handler.Patterns() {
		shows := strings.HasPrefix(pattern, "GET /v1/") || pattern == "POST /v1/sites/{site}/exports"
		want := ""
		if shows {
			want = contract.OperationID(pattern)
		}
		if reads[pattern] != want || shows && want == "" {
			t.Errorf("%s: got %q, want %q", pattern, reads[pattern], want)
		}
	}
}

// TestAccessRecord checks a line member by member, and who may see it.
func TestAccessRecord(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	r.site(t, "plant-1")
	r.site(t, "plant-2")
	r.register(t, "plant-1", "gw-1")
	body := fmt.Sprintf(`{"name":"bob","password":%q,"grants":{"plant-1":"viewer"}}`, apitest.Password)
	id := r.Do(t, apitest.Administrator(), "POST", "/v1/users", body).Want(t, 201).Member(t, "id")
	bob := apitest.Person(id, "plant-1=viewer", "plant-2=operator")
	r.Do(t, bob, "GET", "/v1/sites/plant-1/gateways/gw-1", "").Want(t, 200)
	r.Do(t, bob, "GET", "/v1/sites/plant-2/conflicts?to=2026-01-02T00:00:00Z&from=2026-01-01T00:00:00Z&limit=5", "").Want(t, 200)
	r.Do(t, bob, "GET", "/v1/sites", "").Want(t, 200)
	r.Do(t, apitest.Gateway("gw-1", "plant-1"), "GET", "/v1/sites/plant-1/ice-servers", "").Want(t, 200)
	r.Do(t, bob, "GET", "/v1/sites/plant-3/gateways", "").Want(t, 404) // these show nothing
	r.Do(t, bob, "GET", "/v1/users", "").Want(t, 403)
	r.Do(t, bob, "GET", "/v1/sites/plant-1/conflicts?limit=0", "").Want(t, 400)

	name := "bob"
	one := accessLine{
		Count: 1, Subject: id, Account: &name, Role: "viewer", Site: "plant-1", Operation: "getGateway", Selection: "gateway=gw-1",
		Status: 200, Source: "192.0.2.7", RequestID: "r-1",
	}
	two := one
	two.Role, two.Site, two.Operation = "operator", "plant-2", "listConflicts"
	two.Selection = "from=2026-01-01T00%3A00%3A00Z&to=2026-01-02T00%3A00%3A00Z"
	three := one
	three.Role, three.Site, three.Operation, three.Selection = "operator", "", "listSites", ""
	four := one
	four.Subject, four.Account, four.Role, four.Operation, four.Selection = "gw-1", nil, "gateway", "getICEServers", ""
	eve := apitest.Person("eve", "plant-1=admin", "plant-2=viewer")
	for filter, want := range map[string][]accessLine{
		"site=plant-1&subject=" + id:         {one},
		"site=plant-2":                       {two},
		"operation=listSites":                {three},
		"subject=gw-1":                       {four},
		"subject=nobody":                     nil,
		"site=plant-2&to=2026-01-01":         nil,
		"site=plant-2&from=2099-01-01":       nil,
		"site=plant-2&from=2026-01-01":       {two},
		"operation=getGateway&subject=" + id: {one},
	} {
		filter = strings.NewReplacer("=2026-01-01", "=2026-01-01T00:00:00Z", "2099-01-01", "2099-01-01T00:00:00Z").Replace(filter)
		if diff := cmp.Diff(want, r.lines(t, apitest.Administrator(), filter)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", filter, diff)
		}
	}
	// An administrator of one site sees the reads of it, and not those of others or of none.
	for _, a := range r.lines(t, eve, "") {
		if a.Site != "plant-1" {
			t.Errorf("got %+v, want the site plant-1 only", a)
		}
	}
	if got := r.lines(t, eve, "subject="+id); len(got) != 1 || got[0].Operation != "getGateway" {
		t.Errorf("got %+v, want one line", got)
	}
	r.Do(t, eve, "GET", "/v1/access?site=plant-2", "").Want(t, 404)
	r.Do(t, eve, "GET", "/v1/access?site=plant-9", "").Want(t, 404)
	r.Do(t, apitest.Administrator(), "GET", "/v1/access?site=plant-9", "").Want(t, 404)
	r.Do(t, bob, "GET", "/v1/access", "").Want(t, 403)
	for _, bad := range []string{
		"operation=a-b", "from=x", "cursor=x", "format=csv", "subject=" + strings.Repeat("x", 513), "limit=0", "unknown=1",
	} {
		r.Do(t, apitest.Administrator(), "GET", "/v1/access?"+bad, "").Want(t, 400)
	}
	// Whoever reads the record is in it.
	if got := r.lines(t, apitest.Administrator(), "operation=listAccess&subject=eve"); len(got) == 0 || got[0].Role != "admin" {
		t.Errorf("got %+v, want the reads of eve", got)
	}
}

// TestAlikeReadsAreOneLine: within a minute, whatever their limit; another address or minute is
// another line. No count is lost at the end of the environment.
func TestAlikeReadsAreOneLine(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	r.site(t, "plant-1")
	viewer := apitest.Person("eve", "plant-1=viewer")
	read := func(query, source string) {
		t.Helper()
		r.Send(t, apitest.Request{
			Method: "GET", Path: "/v1/sites/plant-1/gateways", Query: query, SourceIP: source, Caller: viewer,
			Headers: map[string]string{},
		}).Want(t, 200)
	}
	for range 5 {
		read("", "192.0.2.1")
	}
	read("limit=3", "192.0.2.1")
	read("", "192.0.2.2")
	r.now = r.now.Add(time.Minute)
	for range 3 {
		read("", "192.0.2.1")
	}
	r.recorder.Shutdown(t.Context())
	r.recorder.Shutdown(t.Context())
	got := map[string]int{}
	for _, a := range r.lines(t, apitest.Administrator(), "operation=listGateways") {
		got[a.Source+" "+a.Selection] = got[a.Source+" "+a.Selection]*10 + a.Count
	}
	// The newest minute first: 3, then 6.
	want := map[string]int{"192.0.2.1 ": 36, "192.0.2.2 ": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLinesAreBounded: 2,000 different reads of a viewer within a minute are a few lines, whose
// counts sum to exactly 2,000 and whose range is that of the reads.
func TestLinesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	r.site(t, "plant-1")
	viewer := apitest.Person("eve", "plant-1=viewer")
	long := strings.Repeat("x", 60)
	const reads = 2000
	for i := range reads {
		path := fmt.Sprintf("/v1/sites/plant-1/anomalies?from=%d&gateway=%s%d&device=%s", i, long, i, long)
		r.Do(t, viewer, "GET", path, "").Want(t, 200)
	}
	r.recorder.Shutdown(t.Context())
	sum := 0
	lines := r.lines(t, apitest.Administrator(), "subject=eve&limit=1000")
	for _, a := range lines {
		sum += a.Count
		if strings.HasPrefix(a.Selection, accessrecord.Others) && (a.Count != reads-accessrecord.MaxLines ||
			a.Selection != "others&from=1970-01-01T00%3A00%3A00.00006Z" || a.Operation != "listAnomalies" || a.Site != "plant-1") {
			t.Errorf("got %+v", a)
		}
	}
	if len(lines) != accessrecord.MaxLines+1 || sum != reads {
		t.Errorf("got %d lines of %d reads, want %d of %d", len(lines), sum, accessrecord.MaxLines+1, reads)
	}
}

// TestMovingRangeIsOneLine: a console that polls the last hour, in whatever form of a time.
func TestMovingRangeIsOneLine(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	r.site(t, "plant-1")
	start := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	const polls = 30
	for i := range polls {
		to := start.Add(time.Duration(i) * time.Second)
		path := "/v1/sites/plant-1/conflicts?limit=" + fmt.Sprint(i+1) + "&from=" + fmt.Sprint(to.Add(-time.Hour).UnixMicro()) +
			"&to=" + url.QueryEscape(to.In(time.FixedZone("", 3600)).Format(time.RFC3339))
		r.Do(t, apitest.Person("eve", "plant-1=viewer"), "GET", path, "").Want(t, 200)
	}
	r.recorder.Shutdown(t.Context())
	want := "from=2026-11-30T11%3A00%3A00Z&to=2026-11-30T12%3A00%3A29Z"
	if got := r.lines(t, apitest.Administrator(), "subject=eve"); len(got) != 1 || got[0].Count != polls || got[0].Selection != want {
		t.Errorf("got %+v, want one line of %s", got, want)
	}
}

// TestPagesOfTheRecord: pages have every line once, as JSON and as lines.
func TestPagesOfTheRecord(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	r.site(t, "plant-1")
	const n = 23
	for i := range n {
		r.now = r.now.Add(17 * time.Second)
		r.Do(t, apitest.Person("eve", "plant-1=viewer"), "GET", fmt.Sprint("/v1/sites/plant-1/anomalies?gateway=gw-", i), "").Want(t, 200)
	}
	for _, format := range []string{"json", "ndjson"} {
		seen, cursor := map[string]bool{}, ""
		for pages := 0; pages == 0 || cursor != ""; pages++ {
			path := "/v1/access?subject=eve&limit=5&format=" + format
			if cursor != "" {
				path += "&cursor=" + cursor
			}
			a := r.Do(t, apitest.Administrator(), "GET", path, "").Want(t, 200)
			var page list[accessLine]
			if format == "json" {
				a.Decode(t, &page)
			} else {
				for line := range strings.Lines(a.Body) {
					var one accessLine
					if err := json.Unmarshal([]byte(line), &one); err != nil {
						t.Fatal(err)
					}
					page.Items = append(page.Items, one)
				}
				page.Next = a.Headers["next-cursor"]
			}
			for _, one := range page.Items {
				if seen[one.Selection] {
					t.Errorf("%s: %q is on two pages", format, one.Selection)
				}
				seen[one.Selection] = true
			}
			if cursor = page.Next; pages > n {
				t.Fatal("the pages do not end")
			}
		}
		if len(seen) != n {
			t.Errorf("%s: got %d lines, want %d", format, len(seen), n)
		}
	}
}

// TestRecordUnavailable: the reader gets the response, and the log has the line.
func TestRecordUnavailable(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	r.site(t, "plant-1")
	r.down = true
	r.Do(t, apitest.Person("eve", "plant-1=viewer"), "GET", "/v1/sites/plant-1", "").Want(t, 200)
	var line map[string]any
	if err := json.Unmarshal(r.log.Bytes(), &line); err != nil {
		t.Fatalf("log %q: %v", r.log.String(), err)
	}
	for name, want := range map[string]any{
		"subject": "eve", "role": "viewer", "site": "plant-1", "operation": "getSite", "status": 200., "source": "192.0.2.7",
		"request_id": "r-1", "count": 1., "level": "ERROR",
	} {
		if line[name] != want {
			t.Errorf("%s: got %v, want %v", name, line[name], want)
		}
	}
	families, err := r.registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "insighthub_access_unrecorded_total" ||
		families[0].GetMetric()[0].GetCounter().GetValue() != 1 {
		t.Errorf("got %v, %v; want one line unrecorded", families, err)
	}
	r.down = false
	r.Do(t, apitest.Person("eve", "plant-1=viewer"), "GET", "/v1/sites", "").Want(t, 200)
	if got := r.lines(t, apitest.Administrator(), "subject=eve"); len(got) != 1 {
		t.Errorf("got %+v, want the second read", got)
	}
}

// TestExportsAreRecorded: with their range and rows, and each time that the address is given.
func TestExportsAreRecorded(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	r.machines(t)
	body := `{"gateway":"gw-1","from":"2020-01-01T00:00:00Z","to":"2020-01-02T00:00:00Z","format":"csv"}`
	viewer := apitest.Person("eve", "plant-1=viewer")
	for range 2 {
		r.Do(t, viewer, "POST", "/v1/sites/plant-1/exports", body, "Idempotency-Key", "k-1").Want(t, 201)
	}
	got := map[string]bool{}
	for _, a := range r.lines(t, apitest.Administrator(), "operation=createExport") {
		got[a.Selection] = true
	}
	want := map[string]bool{
		"device=&from=2020-01-01T00%3A00%3A00Z&gateway=gw-1&metric=&rows=0&to=2020-01-02T00%3A00%3A00Z": true,
		"idempotency_key=k-1&replayed=true": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Package apifuzz checks an API against its contract with requests that are made from the
// contract: valid ones with mutations (Fuzz), and every operation as every caller (Matrix).
//
// A response is a fault when its status, headers or body are not in the contract, when it is
// 500 or 503, when it shows the inside of the platform, when a request was served that the
// contract does not allow, and when a rejected change has changed something.
package apifuzz

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/insighthub/insighthub/docs"
	"github.com/insighthub/insighthub/docs/contracttest"
)

// Request is a request as it is sent: Path and Query are encoded.
type Request struct {
	Method, Path, Query string
	Headers             map[string]string
	Body                []byte
	Caller              string // one of Callers
}

// Response is what the client gets.
type Response struct {
	Status  int
	Headers map[string]string
	Body    []byte
}

// Target sends requests to an API. It is called concurrently.
type Target interface {
	// Do returns an error only if there is no response.
	Do(ctx context.Context, r Request) (Response, error)
}

// Config configures Fuzz and Matrix.
type Config struct {
	Target Target
	World  World
	// Fresh returns what a deletion may delete: it is called before the first request of an
	// operation that deletes, and after each one that was served. Nil: the World's.
	Fresh func(ctx context.Context, operation string) (World, error)
	// Operations are the ids of those that are requested; nil is all.
	Operations []string
	// Requests is the number per operation.
	Requests int
	Seed     uint64
	// Workers is how many operations are requested at the same time.
	Workers int
	Now     func() time.Time
}

// Fault is a kind of difference from the contract, with the first request that showed it.
type Fault struct {
	Operation, Text, First string
	Count                  int
}

// Report is the result of Fuzz.
type Report struct {
	Requests int
	Rows     []Row
	Faults   []Fault
}

// Row is an operation's line.
type Row struct {
	Operation                               string
	Requests, Served, Rejected, Front, Fail int
	// Valid is the status of the first request, which is valid.
	Valid int
	// Unchanged is how many rejected changes were checked to have changed nothing.
	Unchanged int
	Statuses  map[int]int
}

type fuzzer struct {
	Config
	contract *contract
	checker  *contracttest.Contract

	// still is held alone while it is watched whether a request changes something.
	still  sync.RWMutex
	mu     sync.Mutex
	faults map[string]*Fault
}

func newFuzzer(cfg Config) (*fuzzer, error) {
	c, err := parse(docs.OpenAPI)
	if err != nil {
		return nil, err
	}
	checker, err := contracttest.Parse(docs.OpenAPI)
	if err != nil {
		return nil, err
	}
	if cfg.Operations != nil {
		c.operations = slices.DeleteFunc(c.operations, func(o operation) bool { return !slices.Contains(cfg.Operations, o.id) })
	}
	cfg.Workers = max(cfg.Workers, 1)
	return &fuzzer{Config: cfg, contract: c, checker: checker, faults: make(map[string]*Fault)}, nil
}

// Fuzz sends cfg.Requests requests to each operation. The same seed makes the same requests.
func Fuzz(ctx context.Context, cfg Config) (Report, error) {
	f, err := newFuzzer(cfg)
	if err != nil {
		return Report{}, err
	}
	rows := make([]Row, len(f.contract.operations))
	errs := make([]error, len(rows))
	next := make(chan int)
	var wg sync.WaitGroup
	for range f.Workers {
		wg.Go(func() {
			for i := range next {
				rows[i], errs[i] = f.operation(ctx, f.contract.operations[i])
			}
		})
	}
	for i := range rows {
		next <- i
	}
	close(next)
	wg.Wait()
	report := Report{Rows: rows}
	for i, r := range rows {
		report.Requests += r.Requests
		if errs[i] != nil {
			return report, fmt.Errorf("%s: %w", f.contract.operations[i], errs[i])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f.faults)) {
		report.Faults = append(report.Faults, *f.faults[key])
	}
	return report, nil
}

// operation sends the requests of one operation.
func (f *fuzzer) operation(ctx context.Context, o operation) (Row, error) {
	row := Row{Operation: o.String(), Statuses: make(map[int]int)}
	h := fnv.New64a()
	_, _ = io.WriteString(h, o.id)                // never fails
	r := rand.New(rand.NewPCG(f.Seed, h.Sum64())) //nolint:gosec // requests are repeated by their seed
	s := &sampler{contract: f.contract, world: f.World, now: f.Now()}
	for i := range f.Requests {
		if deletes := o.method == "DELETE"; deletes && f.Fresh != nil && (i == 0 || s.world == World{}) {
			f.still.RLock()
			fresh, err := f.Fresh(ctx, o.id)
			f.still.RUnlock()
			if err != nil {
				return row, err
			}
			s.world = fresh
		}
		d := f.draft(r, s, o)
		if i > 0 { // the first is valid
			for range 1 + r.IntN(2) {
				if what := pick(r, mutations())(r, d); what != "" {
					d.what = append(d.what, what)
				}
			}
		}
		request := d.request()
		watch := r.IntN(12) == 0 && o.method != "GET" && d.caller != Nobody
		before, after := "", ""
		var response Response
		var err error
		if watch {
			f.still.Lock()
			before = f.state(ctx, o, s)
			response, err = f.Target.Do(ctx, request)
			after = f.state(ctx, o, s)
			f.still.Unlock()
		} else {
			f.still.RLock()
			response, err = f.Target.Do(ctx, request)
			f.still.RUnlock()
		}
		if ctx.Err() != nil {
			return row, ctx.Err()
		}
		if err != nil { // the client does not send it
			continue
		}
		row.Requests++
		row.Statuses[response.Status]++
		if i == 0 {
			row.Valid = response.Status
		}
		switch front := isFront(response); {
		case f.judge(o, d, request, response):
			row.Fail++
		case front:
			row.Front++
		case response.Status < 400:
			row.Served++
		default:
			row.Rejected++
		}
		if watch && response.Status >= 400 && response.Status < 500 && before != "" {
			row.Unchanged++
			if after != before {
				f.fault(o, fmt.Sprintf("a response of %d has changed something", response.Status), d, request, response)
			}
		}
		if o.method == "DELETE" && response.Status < 400 && f.Fresh != nil {
			s.world = World{}
		}
	}
	return row, nil
}

// draft returns a valid request.
func (f *fuzzer) draft(r *rand.Rand, s *sampler, o operation) *draft {
	d := &draft{o: o, method: o.method, values: make(map[string]string), headers: make(map[string]string), caller: callerOf(o)}
	for _, name := range o.pathNames {
		d.values[name] = s.world.path(name)
	}
	d.deletable = slices.ContainsFunc(f.contract.operations, func(other operation) bool {
		return other.method == "DELETE" && other.path == o.path
	})
	d.query = s.queryOf(o, func() bool { return r.IntN(3) == 0 })
	if _, ok := o.headers["If-Match"]; ok {
		d.headers["If-Match"] = "*"
	}
	if o.body != nil {
		d.members = s.body(o)
		d.headers["Content-Type"] = "application/json"
		if o.form {
			d.headers["Content-Type"] = "application/x-www-form-urlencoded"
		}
	}
	return d
}

// callerOf returns the caller of the valid request.
func callerOf(o operation) string {
	switch {
	case o.role == "none":
		return Nobody
	case o.role == "gateway":
		return GatewayHere
	case strings.HasPrefix(o.path, "/v1/me"):
		return ViewerHere
	default:
		return AdminEverywhere
	}
}

func (d *draft) request() Request {
	r := Request{
		Method: d.method, Path: encodePath(d), Query: encodeQuery(d), Headers: maps.Clone(d.headers), Body: encode(d), Caller: d.caller,
	}
	if d.raw != "" {
		r.Path = d.raw
	}
	return r
}

// state returns the present state of what the valid request changes, or "".
func (f *fuzzer) state(ctx context.Context, o operation, s *sampler) string {
	d := &draft{o: o, values: make(map[string]string)}
	for _, name := range o.pathNames {
		d.values[name] = s.world.path(name)
	}
	path := encodePath(d)
	if !slices.ContainsFunc(f.contract.operations, func(other operation) bool { return other.method == "GET" && other.path == o.path }) ||
		strings.HasPrefix(o.path, "/v1/me") {
		return ""
	}
	query := ""
	if o.method == "POST" {
		query = "limit=1000"
	}
	if strings.HasSuffix(path, "/keys") {
		query = ""
	}
	got, err := f.Target.Do(ctx, Request{Method: "GET", Path: path, Query: query, Caller: AdminEverywhere})
	if err != nil || got.Status >= 500 {
		return ""
	}
	return fmt.Sprintf("%d %s %s", got.Status, got.Headers["etag"], got.Body)
}

// isFront reports whether API Gateway itself responded.
func isFront(r Response) bool {
	return r.Status >= 400 && r.Headers["content-type"] == "application/json" &&
		(len(r.Body) == 0 || strings.HasPrefix(string(r.Body), `{"message":`))
}

// judge reports whether a response is a fault, and remembers it.
func (f *fuzzer) judge(o operation, d *draft, r Request, response Response) bool {
	// API Gateway decodes the path once, and the function sees the rest.
	path, err := url.PathUnescape(r.Path)
	if err != nil {
		path = r.Path
	}
	x := contracttest.Exchange{
		Method: r.Method, Path: path, Query: r.Query, RequestHeaders: r.Headers, RequestBody: r.Body,
		Status: response.Status, Headers: response.Headers, Body: response.Body,
	}
	check := f.checker.Check
	if isFront(response) {
		check = f.checker.CheckFront
	}
	err = check(x)
	body := string(response.Body)
	switch {
	case response.Status == 500 || response.Status == 503:
		f.fault(o, fmt.Sprintf("status %d", response.Status), d, r, response)
	case err != nil:
		f.fault(o, firstLines(err.Error()), d, r, response)
	case response.Status >= 400 && shows(body):
		f.fault(o, "the response shows the inside", d, r, response)
	default:
		return false
	}
	return true
}

// shows reports whether a text has what only the platform's log may have.
func shows(body string) bool {
	for _, inside := range []string{"SQLSTATE", "pgx", "goroutine ", "panic", ".go:", "pq:", "ERROR:", "syntax error at"} {
		if strings.Contains(body, inside) {
			return true
		}
	}
	return false
}

func firstLines(text string) string {
	lines := strings.SplitN(text, "\n", 4)
	return strings.Join(lines[:min(3, len(lines))], " | ")
}

func (f *fuzzer) fault(o operation, text string, d *draft, r Request, response Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kind := fmt.Sprintf("%s %d %s", o.id, response.Status, text)
	if one, ok := f.faults[kind]; ok {
		one.Count++
		return
	}
	f.faults[kind] = &Fault{
		Operation: o.String(), Text: text, Count: 1,
		First: fmt.Sprintf("%s %s?%s as %s, %v, headers %v, body %.200q: %d %.300s",
			r.Method, clipTo(r.Path, 120), clipTo(r.Query, 80), r.Caller, d.what, r.Headers, r.Body, response.Status, response.Body),
	}
}

func clipTo(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// Print writes the report as a table.
func (r Report) Print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "operation\trequests\tserved\trejected\tby API Gateway\tunchanged\tfaults\tvalid\tstatuses")
	for _, row := range r.Rows {
		var statuses []string
		for _, status := range slices.Sorted(maps.Keys(row.Statuses)) {
			statuses = append(statuses, fmt.Sprintf("%d×%d", status, row.Statuses[status]))
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", row.Operation, row.Requests, row.Served, row.Rejected, row.Front,
			row.Unchanged,
			row.Fail, row.Valid, strings.Join(statuses, " "))
	}
	_ = t.Flush()
	fmt.Fprintf(w, "\n%d operations, %d requests, %d kinds of fault\n", len(r.Rows), r.Requests, len(r.Faults))
	for _, fault := range r.Faults {
		fmt.Fprintf(w, "\n%s (%d times): %s\n    %s\n", fault.Operation, fault.Count, fault.Text, fault.First)
	}
}

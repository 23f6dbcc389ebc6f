package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/loadtest/benchfile"
	"github.com/insighthub/insighthub/loadtest/cputime"
	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/localstack"
)

// APIConfig configures RunAPI.
type APIConfig struct {
	Config
	// State is the state folder of a running stack; if empty, RunAPI starts one and stops it.
	State string
	// Events to store before the reads: 100 series of one gateway, one event per second.
	Events int
	// Rate of all kinds of requests together, in requests/s.
	Rate float64
}

// APIResult is the result of one kind of request.
type APIResult struct {
	Kind     string            `json:"kind"`
	Requests int               `json:"requests"`
	Errors   int               `json:"errors"`
	Bytes    int64             `json:"bytes_per_answer"`
	Latency  drive.Percentiles `json:"latency_ms"`
}

// APIReport is the content of api.json.
type APIReport struct {
	Events  int64       `json:"events"`
	Minutes int64       `json:"minutes"`
	Rate    float64     `json:"offered_rps"`
	Seconds float64     `json:"seconds"`
	Kinds   []APIResult `json:"kinds"`
	// CPU is by part, in processors.
	CPU map[string]float64 `json:"cpu"`
}

const (
	apiSite, apiGateway   = "bench", "gw-bench"
	apiDevices, apiMetric = 10, 10
	apiSeries             = apiDevices * apiMetric
	rollupWait            = 5 * time.Minute
)

// RunAPI fills the database, measures reads of the API and writes api.json.
func RunAPI(ctx context.Context, cfg APIConfig) (err error) {
	if err := os.MkdirAll(cfg.Out, 0o755); err != nil { //nolint:gosec // the database's user must pass through
		return err
	}
	var stack stackfile.Info
	if cfg.State != "" {
		stack, err = stackfile.Read(cfg.State)
	} else {
		var proc *localstack.Process
		fmt.Fprintln(cfg.Stdout, "Starting the local stack on an empty state folder ...")
		if proc, stack, err = startStack(ctx, cfg.Config); err == nil {
			defer func() { err = errors.Join(err, proc.Stop()) }()
		}
	}
	if err != nil {
		return err
	}
	report := APIReport{Rate: cfg.Rate}
	if err := fill(ctx, cfg, stack.Database, &report); err != nil {
		return err
	}
	if cfg.Duration == 0 {
		return nil
	}
	if err := readAPI(ctx, cfg, stack, &report); err != nil {
		return err
	}
	if err := benchfile.Write(filepath.Join(cfg.Out, "api.json"), report); err != nil {
		return err
	}
	report.print(cfg.Stdout)
	for _, k := range report.Kinds {
		if k.Errors > 0 {
			return fmt.Errorf("%d of %d requests for %s failed", k.Errors, k.Requests, k.Kind)
		}
	}
	return nil
}

// fill inserts the events unless they exist, in the order of their times, and waits until
// the scheduled roll-up has downsampled them to minutes.
func fill(ctx context.Context, cfg APIConfig, dsn string, report *APIReport) error {
	db, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer db.Close(ctx) //nolint:errcheck // nothing to lose
	var have int64
	if err := db.QueryRow(ctx, `
SELECT count(*) FROM series JOIN device ON device.id = device_id JOIN gateway ON gateway.id = gateway_id
WHERE gateway.name = $1`, apiGateway).Scan(&have); err != nil {
		return err
	}
	if have == 0 {
		fmt.Fprintf(cfg.Stdout, "Filling the database with %d events ...\n", cfg.Events)
		if err := fillEvents(ctx, db, cfg.Events/apiSeries); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(rollupWait); ; time.Sleep(time.Second) {
		var stale int64
		if err := db.QueryRow(ctx, "SELECT count(*) FROM rollup_stale").Scan(&stale); err != nil {
			return err
		}
		if stale == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d stale roll-ups after %v", stale, rollupWait)
		}
	}
	if have == 0 {
		if _, err := db.Exec(ctx, "VACUUM ANALYZE event, event_minute"); err != nil {
			return err
		}
	}
	return db.QueryRow(ctx, "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM event_minute)").
		Scan(&report.Events, &report.Minutes)
}

func fillEvents(ctx context.Context, db *pgx.Conn, seconds int) error {
	for _, statement := range []struct {
		sql  string
		args []any
	}{
		{"INSERT INTO site (name) VALUES ($1) ON CONFLICT DO NOTHING", []any{apiSite}},
		{"INSERT INTO gateway (name, site, site_since) VALUES ($1, $2, now())", []any{apiGateway, apiSite}},
		{`INSERT INTO device (gateway_id, name)
SELECT id, 'device-' || n FROM gateway, generate_series(0, $2::int - 1) n WHERE name = $1`, []any{apiGateway, apiDevices}},
		{`INSERT INTO metric (gateway_id, name, unit)
SELECT id, 'metric-' || n, 'Cel' FROM gateway, generate_series(0, $2::int - 1) n WHERE name = $1`, []any{apiGateway, apiMetric}},
		{`INSERT INTO event
SELECT date_trunc('second', now()) - n * interval '1 s', d.id, m.id, sin(n / 100.0) * 10 + d.id, 0
FROM generate_series($2::int, 1, -1) n, device d, metric m, gateway g
WHERE g.name = $1 AND d.gateway_id = g.id AND m.gateway_id = g.id`, []any{apiGateway, seconds}},
		{`INSERT INTO rollup_stale
SELECT d.id, m.id, h FROM device d, metric m, gateway g,
     generate_series(date_trunc('hour', now() - $2::int * interval '1 s'), now(), interval '1 hour') h
WHERE g.name = $1 AND d.gateway_id = g.id AND m.gateway_id = g.id`, []any{apiGateway, seconds}},
		{`INSERT INTO series SELECT d.id, m.id FROM device d, metric m, gateway g
WHERE g.name = $1 AND d.gateway_id = g.id AND m.gateway_id = g.id`, []any{apiGateway}},
	} {
		if _, err := db.Exec(ctx, statement.sql, statement.args...); err != nil {
			return fmt.Errorf("%.60s…: %w", statement.sql, err)
		}
	}
	return nil
}

// readKinds returns the requests; each reads a random series.
func readKinds() map[string]func(v url.Values) string {
	ago := func(v url.Values, d time.Duration) {
		now := time.Now()
		v.Set("from", strconv.FormatInt(now.Add(-d).UnixMicro(), 10))
		v.Set("to", strconv.FormatInt(now.UnixMicro(), 10))
		v.Set("device", fmt.Sprint("device-", rand.IntN(apiDevices))) //nolint:gosec // a bench
		v.Set("metric", fmt.Sprint("metric-", rand.IntN(apiMetric)))  //nolint:gosec // a bench
	}
	return map[string]func(v url.Values) string{
		"latest of 100 series": func(url.Values) string { return "latest" },
		"1 h raw":              func(v url.Values) string { ago(v, time.Hour); v.Set("resolution", "raw"); return "readings" },
		"24 h by minute":       func(v url.Values) string { ago(v, 24*time.Hour); v.Set("resolution", "1m"); return "readings" },
	}
}

// readAPI sends requests at a fixed rate, the kinds in turn. The latency of a request
// counts from the time at which it was due.
func readAPI(ctx context.Context, cfg APIConfig, stack stackfile.Info, report *APIReport) error {
	tokens, err := NewTokens(stack, apiSite)
	if err != nil {
		return err
	}
	bearer, err := tokens.Viewer(ctx)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: 30 * time.Second}
	kinds := readKinds()
	names := slices.Sorted(maps.Keys(kinds))
	one := func(name string) (int64, error) {
		v := url.Values{"gateway": {apiGateway}}
		target := stack.HTTP + "/v1/sites/" + apiSite + "/" + kinds[name](v) + "?" + v.Encode()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
		if err != nil {
			return 0, err
		}
		request.Header.Set("Authorization", "Bearer "+bearer)
		response, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close() //nolint:errcheck // read to its end
		n, err := io.Copy(io.Discard, response.Body)
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d", response.StatusCode)
		}
		return n, err
	}
	if err := warmReads(names, one); err != nil {
		return err
	}
	roots := map[int]string{
		stack.PIDs.Local: "local", stack.PIDs.Postgres: "database", stack.PIDs.Prometheus: "prometheus", os.Getpid(): "load",
	}
	before, err := cputime.ByPart(roots)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	results := make([]APIResult, len(names))
	samples := make([][]drive.Sample, len(names))
	var group sync.WaitGroup
	start := time.Now()
	for i := 0; ; i++ {
		due := start.Add(time.Duration(float64(i) / cfg.Rate * float64(time.Second)))
		if due.Sub(start) >= cfg.Duration || ctx.Err() != nil {
			break
		}
		time.Sleep(time.Until(due))
		group.Go(func() {
			kind := i % len(names)
			n, err := one(names[kind])
			elapsed := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			r := &results[kind]
			r.Requests, r.Bytes = r.Requests+1, r.Bytes+n
			if samples[kind] = append(samples[kind], drive.Sample{Latency: elapsed, Weight: 1}); err != nil {
				r.Errors++
			}
		})
	}
	group.Wait()
	report.Seconds = time.Since(start).Seconds()
	after, err := cputime.ByPart(roots)
	if err != nil {
		return err
	}
	report.CPU = make(map[string]float64)
	for part, seconds := range after {
		report.CPU[part] = (seconds - before[part]) / report.Seconds
		report.CPU["total"] += report.CPU[part]
	}
	for i, name := range names {
		results[i].Kind, results[i].Latency = name, drive.PercentilesOf(samples[i])
		results[i].Bytes /= int64(max(results[i].Requests, 1))
	}
	report.Kinds = results
	return ctx.Err()
}

// warmReads sends all kinds from several clients at once. Sequential requests would all be
// served by one process of the function; the others would start, connect and fill their
// caches during the measurement.
func warmReads(kinds []string, one func(kind string) (int64, error)) error {
	const clients, rounds = 8, 10
	failed := make([]error, clients)
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			for i := range rounds * len(kinds) {
				kind := kinds[(c+i)%len(kinds)]
				if _, err := one(kind); err != nil {
					failed[c] = fmt.Errorf("%s: %w", kind, err)
					return
				}
			}
		})
	}
	group.Wait()
	return errors.Join(failed...)
}

func (r APIReport) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d events, %d minutes of series; %.0f requests/s for %.0f s\n\n", r.Events, r.Minutes, r.Rate, r.Seconds)
	fmt.Fprintln(w, "| request | requests | errors | bytes | p50 ms | p95 ms | p99 ms | max ms |\n"+
		"| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, k := range r.Kinds {
		fmt.Fprintf(w, "| %s | %d | %d | %d | %.2f | %.2f | %.2f | %.1f |\n",
			k.Kind, k.Requests, k.Errors, k.Bytes, k.Latency.P50, k.Latency.P95, k.Latency.P99, k.Latency.Max)
	}
	fmt.Fprintln(w, "\n| part | processors |\n| --- | ---: |")
	for _, part := range slices.Sorted(maps.Keys(r.CPU)) {
		fmt.Fprintf(w, "| %s | %.2f |\n", part, r.CPU[part])
	}
}

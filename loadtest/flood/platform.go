package flood

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/loadtest/bench"
	"github.com/insighthub/insighthub/loadtest/cputime"
	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/fleet"
)

// platform is the stack under test with its users: gateways and an administrator.
type platform struct {
	cfg      Config
	stack    stackfile.Info
	address  string // host:port
	tokens   *bench.Tokens
	minter   *token.Minter
	client   *http.Client
	db       *pgx.Conn
	gateways []*fleet.Gateway
	events   int            // of a batch
	roots    map[int]string // processes whose processor time counts, by part

	bearer string
	until  time.Time // when bearer is replaced
}

// The site that is changed, and who changes it.
const site, administrator = "flood", "flood-administrator"

func newPlatform(ctx context.Context, cfg Config, stack stackfile.Info) (*platform, error) {
	u, err := url.Parse(stack.HTTP)
	if err != nil {
		return nil, err
	}
	p := &platform{
		cfg: cfg, stack: stack, address: u.Host, client: &http.Client{Timeout: 30 * time.Second},
		roots: map[int]string{stack.PIDs.Local: "local", stack.PIDs.Postgres: "postgres", stack.PIDs.Prometheus: "prometheus"},
	}
	delete(p.roots, 0)
	if p.tokens, err = bench.NewTokens(stack, site); err != nil {
		return nil, err
	}
	if p.minter, err = stack.Minter(time.Now); err != nil {
		return nil, err
	}
	// The whole run has the same gateways, as a plant does.
	fc := fleet.Config{
		Prefix: "flood", Site: site, Seed: 1, Gateways: cfg.Gateways, Machines: 1, Samples: 1,
		Start: time.Now().Truncate(time.Microsecond), Horizon: 24 * time.Hour,
	}
	if p.gateways, err = fleet.New(fc); err != nil {
		return nil, err
	}
	p.events = fc.EventsPerBatch()
	if p.db, err = pgx.Connect(ctx, stack.Database); err != nil {
		return nil, err
	}
	status, err := p.do(ctx, http.MethodPost, "/v1/sites", `{"name":"`+site+`","title":"Flood"}`, nil)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("create site %s: status %d", site, status)
	}
	if err != nil {
		p.close(context.WithoutCancel(ctx))
		return nil, err
	}
	return p, nil
}

func (p *platform) close(ctx context.Context) {
	_ = p.db.Close(ctx)
	p.client.CloseIdleConnections()
}

// endpoints reads the contract and the keys as a stranger does.
func (p *platform) endpoints(ctx context.Context) ([]Endpoint, error) {
	var contract []byte
	if _, err := p.do(ctx, http.MethodGet, "/openapi.yaml", "", &contract); err != nil {
		return nil, err
	}
	var raw []byte
	if _, err := p.do(ctx, http.MethodGet, "/.well-known/jwks.json", "", &raw); err != nil {
		return nil, err
	}
	var set struct {
		Keys []struct {
			KeyID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil || len(set.Keys) == 0 {
		return nil, fmt.Errorf("keys %.200q: %w", raw, errors.Join(err, telemetry.ErrInvalid))
	}
	return Endpoints(Contract{OpenAPI: contract, KeyID: set.Keys[0].KeyID, Issuer: p.stack.Issuer})
}

// Phase is the result of one phase.
type Phase struct {
	// Flood is nil in a quiet phase.
	Flood *Outcome `json:"flood,omitempty"`
	// Ingest are the latencies of batches, Change those of changes, in milliseconds from the
	// time at which they were due.
	Ingest  drive.Percentiles `json:"ingest_ms"`
	Change  drive.Percentiles `json:"change_ms"`
	Changes int               `json:"changes"`
	// Retries counts batches and changes that were not accepted at once, Unknown events
	// without a response.
	Retries int64 `json:"retries"`
	Unknown int64 `json:"unknown_events"`
	// CPU is by part, in processors; the generator's includes that of gateways and changes.
	CPU map[string]float64 `json:"cpu"`
}

// phase runs gateways and changes for a time, and a flood beside them unless it is nil.
func (p *platform) phase(ctx context.Context, d time.Duration, flood *Stream) (result Phase, err error) {
	before, err := cputime.ByPart(p.roots)
	if err != nil {
		return Phase{}, err
	}
	self, begin := cputime.Own(), time.Now()
	var running sync.WaitGroup
	var ingest drive.Result
	var floodErr, ingestErr, changeErr error
	if flood != nil {
		running.Go(func() {
			var out Outcome
			out, floodErr = flood.Send(ctx)
			result.Flood = &out
		})
	}
	var changes []drive.Sample
	var repeated int64
	running.Go(func() { changes, repeated, changeErr = p.change(ctx, d) })
	running.Go(func() {
		ingest, ingestErr = drive.Run(ctx, drive.Config{
			URL: p.stack.HTTP + "/v1/telemetry", Token: p.tokens.Get, Rate: p.cfg.IngestRate * float64(p.events),
			Duration: d, Grace: 20 * time.Second,
		}, p.gateways, p.events)
	})
	running.Wait()
	if err := errors.Join(floodErr, ingestErr, changeErr); err != nil {
		return Phase{}, err
	}
	after, err := cputime.ByPart(p.roots)
	if err != nil {
		return Phase{}, err
	}
	result.Ingest, result.Retries, result.Unknown = ingest.Ack, ingest.Retries+repeated, ingest.Unknown+ingest.Rejected
	result.Changes, result.Change = len(changes), drive.PercentilesOf(changes)
	seconds := time.Since(begin).Seconds()
	result.CPU = map[string]float64{"generator": (cputime.Own() - self) / seconds}
	for part, s := range after {
		result.CPU[part] = (s - before[part]) / seconds
	}
	return result, nil
}

// change changes the title of the site at a constant rate. A change that is refused is
// repeated: its latency ends when it has been made.
func (p *platform) change(ctx context.Context, d time.Duration) (latencies []drive.Sample, repeated int64, err error) {
	begin := time.Now()
	for due := begin; due.Sub(begin) < d; due = due.Add(p.cfg.ChangeEvery) {
		time.Sleep(time.Until(due))
		for {
			change := `{"time_zone":"UTC","title":"Flood at ` + due.Format(time.RFC3339Nano) + `"}`
			status, err := p.do(ctx, http.MethodPut, "/v1/sites/"+site, change, nil)
			if err != nil {
				return nil, repeated, err
			}
			if status == http.StatusOK {
				break
			}
			if status != http.StatusTooManyRequests && status < http.StatusInternalServerError || time.Since(due) > time.Minute {
				return nil, repeated, fmt.Errorf("change of site %s: status %d", site, status)
			}
			repeated++
			time.Sleep(20 * time.Millisecond)
		}
		latencies = append(latencies, drive.Sample{Latency: time.Since(due), Weight: 1})
	}
	return latencies, repeated, nil
}

// do sends a request as the administrator and returns the status.
func (p *platform) do(ctx context.Context, method, path, body string, into *[]byte) (int, error) {
	if time.Now().After(p.until) {
		const lifetime = 10 * time.Minute
		text, _, err := p.minter.Mint(ctx, token.Identity{
			Subject: administrator, Grants: map[telemetry.SiteID]token.Role{"*": token.Admin},
		}, lifetime)
		if err != nil {
			return 0, err
		}
		p.bearer, p.until = text, time.Now().Add(lifetime/2)
	}
	request, err := http.NewRequestWithContext(ctx, method, p.stack.HTTP+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+p.bearer)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("If-Match", "*")
	}
	response, err := p.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end below
	raw, err := io.ReadAll(response.Body)
	if into != nil {
		if *into = raw; err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s %s: status %d", method, path, response.StatusCode)
		}
	}
	return response.StatusCode, err
}

// growth is what strangers can make grow: entries of the audit trail, and rows that count
// and remember what they tried.
type growth struct{ trailBytes, rows int64 }

// growth reads what has grown since the stack started. The administrator's own entries do
// not count.
func (p *platform) growth(ctx context.Context) (g growth, err error) {
	// Reading the trail seals the entries that wait for it.
	var raw []byte
	if _, err := p.do(ctx, http.MethodGet, "/v1/audit?limit=1", "", &raw); err != nil {
		return g, err
	}
	if err := p.db.QueryRow(ctx, `SELECT coalesce(sum(octet_length(actor) + octet_length(action) + octet_length(object) +
		octet_length(site) + octet_length(detail) + octet_length(previous) + octet_length(hash) + 16), 0)
		FROM trail WHERE actor <> $1`, administrator).Scan(&g.trailBytes); err != nil {
		return g, err
	}
	for _, table := range []string{"login_attempt", "assertion", "refresh_token", "trail_sum", "idempotency"} {
		var exists bool
		if err := p.db.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", table).Scan(&exists); err != nil {
			return g, err
		}
		if !exists {
			continue
		}
		var n int64
		if err := p.db.QueryRow(ctx, "SELECT count(*) FROM "+pgx.Identifier{table}.Sanitize()).Scan(&n); err != nil {
			return g, err
		}
		g.rows += n
	}
	return g, nil
}

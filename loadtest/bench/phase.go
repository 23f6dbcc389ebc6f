package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/loadtest/cputime"
	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/fleet"
	"github.com/insighthub/insighthub/loadtest/kpicheck"
	"github.com/insighthub/insighthub/loadtest/verify"
)

// heldLimit is the longest latency of a response or a row at p99, and the longest time to
// store the backlog at the end, at which a rate counts as held.
const heldLimit = 2 * time.Second

// system is the pipeline or the yardstick.
type system struct {
	cfg   Config
	name  string
	url   string
	token func(context.Context, string) (string, error)
	dsn   string
	roots map[int]string // processes whose CPU counts, by part
	log   string         // the store function's log; empty where a 202 means stored
	// prometheus is empty where no KPIs are computed.
	prometheus kpicheck.Server
}

func newPipeline(cfg Config, s stackfile.Info, tokens *Tokens) *system {
	p := &system{
		cfg: cfg, name: "pipeline", url: s.HTTP + "/v1/telemetry", token: tokens.Get, dsn: s.Database,
		prometheus: kpicheck.Server(s.Prometheus),
		roots:      map[int]string{s.PIDs.Local: "local", s.PIDs.Postgres: "postgres"},
		log:        filepath.Join(s.Logs, "store.log"),
	}
	if s.PIDs.Prometheus != 0 {
		p.roots[s.PIDs.Prometheus] = "prometheus"
	}
	return p
}

func newYardstick(cfg Config, s stackfile.Info, url, dsn string, pid int) *system {
	return &system{
		cfg: cfg, name: "yardstick", url: url, dsn: dsn,
		token: func(_ context.Context, g string) (string, error) { return g, nil },
		roots: map[int]string{pid: "server", s.PIDs.Postgres: "postgres"},
	}
}

// phase puts load on the system once. With check it compares the events acknowledged with
// those stored. Afterwards it empties the table, so that all phases start alike.
func (s *system) phase(ctx context.Context, name string, rate float64, d time.Duration, check bool) (Phase, error) {
	fc := s.cfg.Fleet
	// All phases have the same gateways, as a plant does: their names are in the caches, and
	// the bridge does not go on reporting on gateways of an earlier phase.
	fc.Prefix, fc.Start, fc.Horizon = "run", time.Now().Truncate(time.Microsecond), d+time.Minute
	gateways, err := fleet.New(fc)
	if err != nil {
		return Phase{}, err
	}
	if rate > 0 {
		fmt.Fprintf(s.cfg.Stdout, "%s, %s: %.0f events/s for %.0f s\n", s.name, name, rate, d.Seconds())
	} else {
		fmt.Fprintf(s.cfg.Stdout, "%s, %s: closed loop for %.0f s\n", s.name, name, d.Seconds())
	}
	var st stored
	offset, err := s.logEnd()
	if err != nil {
		return Phase{}, err
	}
	before, err := cputime.ByPart(s.roots)
	if err != nil {
		return Phase{}, err
	}
	var visible *Visibility
	if name != warmUp && rate > 0 && s.prometheus != "" && s.cfg.KPIs {
		visible = WatchKPIs(ctx, s.prometheus, gateways, fc.Start)
	}
	self := cputime.Own()
	res, err := drive.Run(ctx, drive.Config{
		URL: s.url, Token: s.token, Rate: rate, Duration: d, Grace: 20 * time.Second,
		Progress: func(elapsed time.Duration, c drive.Counts) {
			if int(elapsed.Seconds())%10 == 0 {
				fmt.Fprintf(s.cfg.Stdout, "  %3.0f s: %d events accepted, %d retries\n", elapsed.Seconds(), c.Accepted, c.Retries)
			}
		},
	}, gateways, fc.EventsPerBatch())
	ended := time.Now()
	p := Phase{System: s.name, Name: name, OfferedRate: rate, Result: res, Stored: res.Ack}
	if visible != nil {
		window, event, problem := visible.Stop()
		p.KPIVisible, p.KPIAfterEvent, err = &window, &event, errors.Join(err, problem)
	}
	if err != nil {
		return Phase{}, err
	}
	if s.log != "" {
		if err := s.waitStored(ctx, offset, &st, res.Accepted); err != nil {
			return p, err
		}
		p.Stored = st.latency()
		p.DrainSeconds = max(0, st.Last.Sub(ended).Seconds())
		p.BytesPerEvent = float64(st.Bytes) / float64(max(1, st.Events))
	}
	after, err := cputime.ByPart(s.roots)
	if err != nil {
		return p, err
	}
	p.CPU = perMillion(before, after, cputime.Own()-self, res.Accepted)
	p.NotHeld = notHeld(&p)
	if res.FirstError != "" {
		fmt.Fprintln(s.cfg.Stdout, "  first error:", res.FirstError)
	}
	fmt.Fprintf(s.cfg.Stdout, "  %.0f events/s; ack p99 %.1f ms, stored p99 %.1f ms; %.2f CPU-s per million; %s\n",
		res.EventsPerSecond, p.Ack.P99, p.Stored.P99, p.CPU["total"], heldText(p.NotHeld))
	if v := p.KPIVisible; v != nil {
		fmt.Fprintf(s.cfg.Stdout,
			"  KPIs visible p50 %.0f, p95 %.0f, p99 %.0f, max %.0f ms after the window's end; p99 %.0f ms after the event\n",
			v.P50, v.P95, v.P99, v.Max, p.KPIAfterEvent.P99)
	}
	return p, s.settle(ctx, &p, gateways, fc, check)
}

// firstStored sends one batch and returns when its first event was stored.
func (s *system) firstStored(ctx context.Context) (time.Time, error) {
	fc := s.cfg.Fleet
	fc.Prefix, fc.Gateways, fc.Start, fc.Horizon = "first", 1, time.Now().Truncate(time.Microsecond), time.Minute
	gateways, err := fleet.New(fc)
	if err != nil {
		return time.Time{}, err
	}
	once := drive.Config{URL: s.url, Token: s.token, Duration: time.Millisecond, Grace: 20 * time.Second}
	res, err := drive.Run(ctx, once, gateways, fc.EventsPerBatch())
	if err != nil {
		return time.Time{}, err
	}
	if res.Accepted == 0 {
		return time.Time{}, fmt.Errorf("the first batch was not accepted: %s", res.FirstError)
	}
	var st stored
	err = s.waitStored(ctx, 0, &st, res.Accepted)
	return st.First, err
}

func heldText(why string) string {
	if why == "" {
		return "held"
	}
	return "not held: " + why
}

// settle verifies if check is set, empties the table and writes dirty pages by a checkpoint.
func (s *system) settle(ctx context.Context, p *Phase, gateways []*fleet.Gateway, fc fleet.Config, check bool) error {
	db, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer db.Close(ctx) //nolint:errcheck // nothing to lose
	if check {
		rows, err := verify.Stored(ctx, db, fc.Prefix, fc.Start)
		if err != nil {
			return err
		}
		f := verify.Compare(verify.Acknowledged(gateways), rows)
		if p.Doubled, err = verify.Doubled(ctx, db); err != nil {
			return err
		}
		p.Lost, p.Verified = f.Lost+f.Different, true
		fmt.Fprintf(s.cfg.Stdout, "  %d events acknowledged, %d stored, %d lost, %d duplicated; %d series compared, %d differ\n",
			f.Acknowledged, f.Stored, f.Lost, p.Doubled, f.Series, f.Different)
	}
	for _, q := range []string{"TRUNCATE event", "CHECKPOINT"} {
		if _, err := db.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// waitStored reads the store's log until all accepted events are in it.
func (s *system) waitStored(ctx context.Context, offset int64, st *stored, accepted int64) error {
	deadline := time.Now().Add(time.Minute)
	for {
		var err error
		if offset, err = readStored(s.log, offset, st); err != nil {
			return err
		}
		if st.Events >= accepted {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("only %d of %d accepted events are stored a minute after the last response", st.Events, accepted)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *system) logEnd() (int64, error) {
	if s.log == "" {
		return 0, nil
	}
	info, err := os.Stat(s.log)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// notHeld says why a rate was not held; empty if it was.
func notHeld(p *Phase) string {
	limit := float64(heldLimit.Milliseconds())
	switch {
	case p.Rejected+p.Unknown > 0:
		return fmt.Sprintf("%d events rejected, %d without a response", p.Rejected, p.Unknown)
	case p.Ack.P99 > limit:
		return fmt.Sprintf("acknowledgement p99 %.0f ms", p.Ack.P99)
	case p.Stored.P99 > limit:
		return fmt.Sprintf("stored p99 %.0f ms", p.Stored.P99)
	case p.DrainSeconds > heldLimit.Seconds():
		return fmt.Sprintf("backlog of %.1f s at the end", p.DrainSeconds)
	case p.KPIAfterEvent != nil && p.KPIAfterEvent.P99 > float64(kpiLimit.Milliseconds()):
		return fmt.Sprintf("KPIs visible at p99 %.0f ms after the event", p.KPIAfterEvent.P99)
	default:
		return ""
	}
}

func perMillion(before, after map[string]float64, generator float64, events int64) map[string]float64 {
	out := maps.Clone(after)
	for k, v := range before {
		out[k] -= v
	}
	out["generator"] = generator
	total := 0.0
	for k, v := range out {
		out[k] = v / float64(max(1, events)) * 1e6
		total += out[k]
	}
	out["total"] = total
	return out
}

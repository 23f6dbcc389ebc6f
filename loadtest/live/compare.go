package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/insighthub/insighthub/loadtest/cputime"
	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/live/delay"
	"github.com/insighthub/insighthub/loadtest/live/relay"
	"github.com/insighthub/insighthub/loadtest/localstack"
)

// way is one of those that are compared.
type way struct {
	name      string
	transport transport
	sink      sink
	roots     map[int]string // processes of this way only
	totals    *totals
	late      []drive.Sample
	cpu       map[string]float64 // seconds
	seconds   float64
}

// compare views over each way in turn, several times, so that what else the machine does meets
// all of them.
func (b *bench) compare(ctx context.Context) error {
	peer, err := b.peer(ctx, gatewayName)
	if err != nil {
		return err
	}
	ways := []*way{{name: "peer connection", transport: peer, sink: b.publisher.Publish, totals: newTotals(), cpu: map[string]float64{}}}
	for _, each := range []time.Duration{0, b.cfg.Each} {
		w, err := b.startRelay(ctx, each)
		if err != nil {
			return err
		}
		ways = append(ways, w)
	}
	for round := range b.cfg.Rounds {
		for i := range ways {
			w := ways[(round+i)%len(ways)]
			if err := b.once(ctx, w); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			p := w.totals.stages["total"].Percentiles()
			b.logf("round %d, %s: so far p50 %.2f, p95 %.2f, p99 %.2f, max %.2f ms", round+1, w.name, p.P50, p.P95, p.P99, p.Max)
		}
	}
	r := &b.report
	r.Peer, r.Near, r.Far = ways[0].totals, ways[1].totals, ways[2].totals
	r.Scored, r.RelayScored = r.Peer.stages["total"].Percentiles(), r.Far.stages["total"].Percentiles()
	r.CPU = make(map[string]map[string]float64)
	for _, w := range ways {
		p := drive.PercentilesOf(w.late)
		r.note("%s: values were read p50 %.2f, p99 %.2f, at most %.2f ms after their time. "+
			"A value counts from when it was read, so this wait is in no latency.", w.name, p.P50, p.P99, p.Max)
		r.CPU[w.name] = make(map[string]float64)
		for part, s := range w.cpu {
			r.CPU[w.name][part] = s / w.seconds
		}
	}
	return nil
}

// once views once over a way.
func (b *bench) once(ctx context.Context, w *way) error {
	roots := map[int]string{
		os.Getpid(): "gateway and bench", b.browser.PID(): "chromium", b.signaling.PID(): "signaling",
	}
	maps.Copy(roots, w.roots)
	before, err := cputime.ByPart(roots)
	if err != nil {
		return err
	}
	start := time.Now()
	b.source.direct(w.sink)
	report, err := b.view(ctx, w.transport, b.cfg.Warm, b.cfg.Phase)
	events, late, problem := b.source.end()
	if err = errors.Join(err, problem); err != nil {
		return err
	}
	w.late = append(w.late, late...)
	w.seconds += time.Since(start).Seconds()
	after, err := cputime.ByPart(roots)
	if err != nil {
		return err
	}
	for part, s := range after {
		w.cpu[part] += s - before[part]
	}
	if least := int64(0.9 * float64(b.cfg.Rate) * (b.cfg.Warm + b.cfg.Phase).Seconds()); events < least {
		return fmt.Errorf("the source read only %d events, want %d at least: the machine is too busy", events, least)
	}
	return w.totals.add(report)
}

// startRelay starts the relay as a process of its own, with a delaying proxy before it if the
// delay is not zero, and connects the gateway to it. Gateway and page go through the proxy.
func (b *bench) startRelay(ctx context.Context, each time.Duration) (*way, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	name := "relay"
	if each > 0 {
		name = fmt.Sprintf("relay, %v each way", each)
	}
	log := filepath.Join(b.cfg.Logs, fmt.Sprintf("relay-%v.log", each))
	process, err := localstack.StartProgram(ctx, log, b.cfg.Self, "live-relay", "-listen", addr)
	if err != nil {
		return nil, err
	}
	b.later(process.Stop)
	if err := waitFor(ctx, addr); err != nil {
		return nil, fmt.Errorf("relay, see %s: %w", log, err)
	}
	if each > 0 {
		proxy, err := delay.Start(ctx, "127.0.0.1:0", addr, each)
		if err != nil {
			return nil, err
		}
		b.later(proxy.Close)
		addr = proxy.Addr()
		round, err := roundTrip(ctx, addr)
		if err != nil {
			return nil, err
		}
		b.report.note("A request through the delaying proxy and its response take %.2f ms at the median.", round.P50)
	}
	publisher, err := relay.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	b.later(publisher.Close)
	return &way{
		name: name, transport: transport{Kind: "relay", URL: "ws://" + addr + relay.ViewPath}, sink: publisher.Publish,
		roots: map[int]string{process.PID(): "relay"}, totals: newTotals(), cpu: make(map[string]float64),
	}, nil
}

// roundTrip measures requests to the relay on a connection that is open.
func roundTrip(ctx context.Context, addr string) (drive.Percentiles, error) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	var samples []drive.Sample
	for range 50 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/", http.NoBody)
		if err != nil {
			return drive.Percentiles{}, err
		}
		start := time.Now()
		resp, err := client.Do(req)
		if err != nil {
			return drive.Percentiles{}, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return drive.Percentiles{}, err
		}
		samples = append(samples, drive.Sample{Latency: time.Since(start), Weight: 1})
	}
	return drive.PercentilesOf(samples), nil
}

func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// waitFor waits until something accepts connections at the address.
func waitFor(ctx context.Context, addr string) error {
	var d net.Dialer
	for deadline := time.Now().Add(time.Minute); ; {
		c, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// browserName returns the browser of a User-Agent header, as in HeadlessChrome/150.0.0.0.
func browserName(agent string) string {
	if found := regexp.MustCompile(`[A-Za-z]*Chrom[a-z]*/[0-9.]+`).FindString(agent); found != "" {
		return found
	}
	return agent
}

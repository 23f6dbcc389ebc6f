package live

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/gateway"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/live/lossy"
	"github.com/insighthub/insighthub/loadtest/localstack"
)

const (
	lossyName  telemetry.GatewayID = "bench-002" // behind a socket that loses packets
	killedName telemetry.GatewayID = "bench-003" // a process of its own

	lossPart = 0.2
	// back is the longest that data may stay away, and a dead gateway unnoticed.
	back = 5 * time.Second
	// settle is waited for after a fault, so that what is late is seen.
	settle = 12 * time.Second
)

// state is web/bench/main.ts's State.
type state struct {
	Peer        string     `json:"peer"`
	Restarts    int        `json:"restarts"`
	Channel     string     `json:"channel"`
	Connections int        `json:"connections"`
	Path        string     `json:"path"`
	Liveness    []liveness `json:"liveness"`
	Report      viewReport `json:"report"`
}

type liveness struct {
	Liveness string  `json:"liveness"`
	Micros   float64 `json:"micros"` // of the browser's clock, which is this machine's
}

// kept says whether the view still has its first connection and channel.
func (s *state) kept() bool {
	return s.Connections == 1 && s.Channel == "open" && s.Peer == "connected"
}

// faults does to a running view what networks do.
func (b *bench) faults(ctx context.Context) error {
	if b.cfg.LossFor == 0 {
		return nil
	}
	if err := b.badNetwork(ctx); err != nil {
		return err
	}
	return b.killedGateway(ctx)
}

// badNetwork loses packets of a view, then restarts ICE, then moves the gateway's address.
func (b *bench) badNetwork(ctx context.Context) error {
	conn, err := lossy.Listen(lossy.Address(), b.cfg.Seed)
	if err != nil {
		return err
	}
	p, err := newPublisher(GatewayConfig{ //nolint:contextcheck // it ends with close
		Name: lossyName, Signaling: b.signaling.URL(), Token: b.gatewayToken(lossyName),
		Network: gateway.Network{Mux: gateway.NewUDPMux(conn)},
	})
	if err != nil {
		return err
	}
	b.later(conn.Close)
	b.later(p.close)
	t, err := b.peer(ctx, lossyName)
	if err != nil {
		return err
	}
	b.source.direct(p.Publish)
	defer b.source.direct(nil)
	if err := b.do(ctx, "open", map[string]any{"transport": t}, nil); err != nil {
		return err
	}
	b.logf("losing %.0f %% of the packets for %v ...", 100*lossPart, b.cfg.LossFor)
	conn.Lose(lossPart)
	lossy, err := b.observe(ctx, false, b.cfg.LossFor)
	if err != nil {
		return err
	}
	b.fault("while a fifth of all packets is lost: longest time without data", lossy, 0, &lossy)
	total := newTotals()
	if err := total.add(&lossy.Report); err != nil {
		return err
	}
	p99 := total.stages["total"].Percentiles()
	b.report.note("While %.0f %% of all packets were lost, for %v: read → scored p50 %.2f, p99 %.2f, maximum %.0f ms; "+
		"%d of %d frames lost.",
		100*lossPart, b.cfg.LossFor, p99.P50, p99.P99, p99.Max, total.Lost, total.Lost+total.Frames)
	restarted, err := b.observe(ctx, true, settle)
	if err != nil {
		return err
	}
	b.fault("ICE restart after it, the loss still there: longest time without data", restarted, 1, &lossy)
	conn.Lose(0)
	if _, err := b.observe(ctx, false, settle/4); err != nil {
		return err
	}
	if err := conn.Move(); err != nil {
		return err
	}
	moved, err := b.observe(ctx, false, settle)
	if err != nil {
		return err
	}
	b.fault("the gateway's address changes: longest time without data", moved, 0, &restarted)
	return b.do(ctx, "close", struct{}{}, nil)
}

// fault adds the longest gap of a view, and whether it has its channel and, since the state
// before, the restarts that it should have at least.
func (b *bench) fault(what string, s state, restarts int, before *state) {
	gap := time.Duration(s.Report.Gap * float64(time.Microsecond))
	b.report.Faults = append(b.report.Faults, fault{
		what: what, want: fmt.Sprintf("≤ %v, channel kept", back),
		got: fmt.Sprintf("%.2f s, channel %s, %d connection, %d ICE restarts", gap.Seconds(), s.Channel, s.Connections, s.Restarts),
		met: gap <= back && s.kept() && s.Restarts >= before.Restarts+restarts,
	})
	b.logf("%s: %.2f s; %s, %d ICE restarts", what, gap.Seconds(), s.Peer, s.Restarts)
}

// observe counts anew, after an ICE restart if there is to be one, and returns the state after
// the time.
func (b *bench) observe(ctx context.Context, restart bool, d time.Duration) (state, error) {
	var s state
	if err := b.do(ctx, "reset", map[string]any{"restart": restart}, nil); err != nil {
		return s, err
	}
	if err := sleep(ctx, d); err != nil {
		return s, err
	}
	return s, b.do(ctx, "state", struct{}{}, &s)
}

// do is page.Do with a timeout.
func (b *bench) do(ctx context.Context, name string, args, value any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return b.page.Do(ctx, name, args, value)
}

// killedGateway kills the process of a gateway and waits until the page knows.
func (b *bench) killedGateway(ctx context.Context) error {
	text, err := b.gatewayToken(killedName)(ctx)
	if err != nil {
		return err
	}
	// In a file: arguments are visible to everybody on the machine.
	file := filepath.Join(b.cfg.Logs, "gateway.token")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	b.later(func() error { return os.Remove(file) })
	process, err := localstack.StartProgram(ctx, filepath.Join(b.cfg.Logs, "gateway.log"), b.cfg.Self,
		"live-gateway", "-signaling", b.signaling.URL(), "-name", string(killedName), "-token", file, "-rate", strconv.Itoa(b.cfg.Rate))
	if err != nil {
		return err
	}
	b.later(process.Stop)
	t, err := b.peer(ctx, killedName)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; { // until it has joined
		if err = b.do(ctx, "open", map[string]any{"transport": t}, nil); err == nil {
			break
		}
		if time.Now().After(deadline) {
			return err
		}
	}
	if err := sleep(ctx, settle/4); err != nil {
		return err
	}
	gateway, err := os.FindProcess(process.PID())
	if err != nil {
		return err
	}
	if err := gateway.Kill(); err != nil {
		return err
	}
	killed := time.Now()
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	var s state
	if err := b.do(ctx, "state", struct{}{}, &s); err != nil {
		return err
	}
	f := fault{what: "a killed gateway is shown as lost after", want: fmt.Sprintf("≤ %v", back), got: "not at all"}
	for _, l := range s.Liveness {
		if at := time.UnixMicro(int64(l.Micros)); l.Liveness == "lost" && at.After(killed) {
			after := at.Sub(killed)
			f.got, f.met = fmt.Sprintf("%.2f s", after.Seconds()), after <= back
			break
		}
	}
	b.report.Faults = append(b.report.Faults, f)
	b.logf("%s %s", f.what, f.got)
	return b.do(ctx, "close", struct{}{}, nil)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Package signaling measures the signaling service in one process, or in two over Redis: the
// memory of a connection, the time that a message between peers takes, and whether anything
// is left when all have gone.
package signaling

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/localsignaling"
)

// Config configures a measurement.
type Config struct {
	// Binary is the service: go build ./signaling.
	Binary string
	// Redis is the URL of a server over which two tasks relay; empty: one task.
	Redis string
	// Connections is how many peers connect; fewer if the limit of open files says so.
	Connections int
	// PerSite is how many peers a room has: a gateway and people.
	PerSite int
	// Rate is how many messages a second are relayed, for Duration.
	Rate     int
	Duration time.Duration
	// Settle is how long nothing happens before the memory is read.
	Settle time.Duration
	// Stdout gets a line for each phase; nil: nothing.
	Stdout io.Writer
	// Logs gets what the service writes; nil: nothing.
	Logs io.Writer
}

// Result is what was measured. Sums are over all tasks.
type Result struct {
	// Tasks is how many processes the service has.
	Tasks int `json:"tasks"`
	// Connections were open at the same time, each a member of a room; Wanted were asked for.
	Connections int `json:"connections"`
	Wanted      int `json:"connections_wanted"`
	// OpenFiles is the limit of each process, which bounds Connections.
	OpenFiles uint64 `json:"open_files_limit"`
	// BytesEach is the growth of the resident memory from before the first connection, divided
	// by Connections: the largest of idle after joining, and idle after relaying.
	BytesEach int64 `json:"bytes_each"`
	// BytesEachJoined and BytesEachRelayed are the two.
	BytesEachJoined  int64 `json:"bytes_each_joined"`
	BytesEachRelayed int64 `json:"bytes_each_relayed"`
	EmptyBytes       int64 `json:"empty_bytes"`
	// JoinMS is the time from dialling to the list of the room.
	JoinMS         drive.Percentiles `json:"join_ms"`
	ConnectSeconds float64           `json:"connect_seconds"`
	// RelayMS is the time from before a message is written by one peer until after it is read
	// by the other. Both are in one process, whose own delays are included.
	RelayMS      drive.Percentiles `json:"relay_ms"`
	Relayed      int               `json:"relayed"`
	RelayLost    int               `json:"relay_lost"`
	RelayPerS    float64           `json:"relayed_per_second"`
	CPUSeconds   float64           `json:"cpu_seconds_relaying"`
	CPUIdleShare float64           `json:"cpu_share_idle"`
	// GoroutinesBefore and GoroutinesAfter are from when a first client has come and gone, and
	// when all have gone.
	GoroutinesBefore int `json:"goroutines_before"`
	GoroutinesAfter  int `json:"goroutines_after"`
}

func (c *Config) setDefaults() {
	for value, standard := range map[*int]int{&c.Connections: 20_000, &c.PerSite: 20, &c.Rate: 2000} {
		if *value <= 0 {
			*value = standard
		}
	}
	for value, standard := range map[*time.Duration]time.Duration{&c.Duration: 30 * time.Second, &c.Settle: 45 * time.Second} {
		if *value <= 0 {
			*value = standard
		}
	}
	if c.Stdout == nil {
		c.Stdout = io.Discard
	}
}

// spareFiles are the files that a process has open besides its connections.
const spareFiles = 40

// Measure starts the service, connects all peers, relays, disconnects them, and stops it.
func Measure(ctx context.Context, c Config) (_ Result, err error) {
	c.setDefaults()
	// This process also has 20,000 connections. Its own collections of garbage would delay what
	// it measures on the machine's few processors, and its memory does not matter.
	const percent = 1000
	defer debug.SetGCPercent(debug.SetGCPercent(percent))
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return Result{}, err
	}
	r := Result{Wanted: c.Connections, Connections: c.Connections, OpenFiles: files.Cur, Tasks: 1}
	if most := int(min(files.Cur, 1<<30)) - spareFiles; r.Connections > most {
		r.Connections = most
		fmt.Fprintf(c.Stdout, "the limit of open files is %d: %d connections instead of %d\n", files.Cur, most, c.Connections)
	}
	t, err := start(ctx, c, &r)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	f := &fleet{config: c, tasks: t.servers}
	if err := f.warmUp(ctx); err != nil {
		return Result{}, err
	}
	if r.GoroutinesBefore, err = t.goroutines(ctx); err != nil {
		return Result{}, err
	}
	if r.EmptyBytes, err = t.resident(); err != nil {
		return Result{}, err
	}
	defer f.close()
	if err := f.connect(ctx, &r); err != nil {
		return Result{}, err
	}
	fmt.Fprintf(c.Stdout, "%d connections in %.1f s, from dialling to the room's list p50 %.1f  p99 %.1f ms\n",
		r.Connections, r.ConnectSeconds, r.JoinMS.P50, r.JoinMS.P99)
	if r.BytesEachJoined, r.CPUIdleShare, err = t.idle(ctx, &r, c.Settle); err != nil {
		return Result{}, err
	}
	fmt.Fprintf(c.Stdout, "%d bytes a connection, %.0f %% of a processor while nothing happens\n", r.BytesEachJoined, 100*r.CPUIdleShare)
	before, err := t.cpu()
	if err != nil {
		return Result{}, err
	}
	if err := f.relay(ctx, &r); err != nil {
		return Result{}, err
	}
	after, err := t.cpu()
	if err != nil {
		return Result{}, err
	}
	r.CPUSeconds = after - before
	fmt.Fprintf(c.Stdout, "%d messages relayed, %.0f/s, p50 %.2f  p99 %.2f  max %.1f ms, %d lost, %.1f CPU-seconds\n",
		r.Relayed, r.RelayPerS, r.RelayMS.P50, r.RelayMS.P99, r.RelayMS.Max, r.RelayLost, r.CPUSeconds)
	if r.BytesEachRelayed, _, err = t.idle(ctx, &r, c.Settle); err != nil {
		return Result{}, err
	}
	r.BytesEach = max(r.BytesEachJoined, r.BytesEachRelayed)
	f.close()
	r.GoroutinesAfter, err = t.drained(ctx, r.GoroutinesBefore)
	fmt.Fprintf(c.Stdout, "%d bytes a connection after relaying; goroutines: %d before, %d after\n",
		r.BytesEachRelayed, r.GoroutinesBefore, r.GoroutinesAfter)
	return r, err
}

// Check returns an error that names each requirement that the result does not meet.
func (r Result) Check() error {
	const mostBytes, mostRelayMS = 12_000, 5
	var errs []error
	if r.BytesEach > mostBytes {
		errs = append(errs, fmt.Errorf("%d bytes a connection, want at most %d", r.BytesEach, mostBytes))
	}
	if r.RelayMS.P99 >= mostRelayMS {
		errs = append(errs, fmt.Errorf("relaying took %.2f ms at p99, want less than %d", r.RelayMS.P99, mostRelayMS))
	}
	if r.RelayLost > 0 {
		errs = append(errs, fmt.Errorf("%d messages were lost", r.RelayLost))
	}
	if r.GoroutinesAfter > r.GoroutinesBefore {
		errs = append(errs, fmt.Errorf("%d goroutines are left of %d before", r.GoroutinesAfter, r.GoroutinesBefore))
	}
	return errors.Join(errs...)
}

// tasks are the processes of the service.
type tasks struct{ servers []*localsignaling.Server }

func start(ctx context.Context, c Config, r *Result) (*tasks, error) {
	t := &tasks{}
	environment := map[string]string{"LOG_LEVEL": "WARN"}
	if c.Redis != "" {
		environment["REDIS_URL"] = c.Redis
		r.Tasks = 2
	}
	for range r.Tasks {
		server, err := localsignaling.Start(ctx, localsignaling.Config{Binary: c.Binary, Environment: environment, Logs: c.Logs})
		if err != nil {
			return nil, errors.Join(err, t.stop())
		}
		t.servers = append(t.servers, server)
	}
	return t, nil
}

func (t *tasks) stop() error {
	var errs []error
	for _, s := range t.servers {
		errs = append(errs, s.Stop())
	}
	return errors.Join(errs...)
}

func (t *tasks) sum(of func(pid int) (float64, error)) (total float64, err error) {
	for _, s := range t.servers {
		n, err := of(s.PID())
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func (t *tasks) resident() (int64, error) {
	n, err := t.sum(resident)
	return int64(n), err
}

func (t *tasks) cpu() (float64, error) { return t.sum(cpu) }

func (t *tasks) goroutines(ctx context.Context) (total int, err error) {
	for _, s := range t.servers {
		n, err := goroutines(ctx, s.URL())
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// idle waits, and returns the memory of a connection and the processor time a second.
func (t *tasks) idle(ctx context.Context, r *Result, wait time.Duration) (bytesEach int64, cpuShare float64, err error) {
	before, err := t.cpu()
	if err != nil {
		return 0, 0, err
	}
	if err := sleep(ctx, wait); err != nil {
		return 0, 0, err
	}
	after, err := t.cpu()
	if err != nil {
		return 0, 0, err
	}
	bytes, err := t.resident()
	return (bytes - r.EmptyBytes) / int64(r.Connections), (after - before) / wait.Seconds(), err
}

// drained waits until no more goroutines are left than before.
func (t *tasks) drained(ctx context.Context, before int) (n int, err error) {
	const timeout = 90 * time.Second // lost sessions wait 30 s for their resume
	for end := time.Now().Add(timeout); ; {
		if n, err = t.goroutines(ctx); err != nil || n <= before || time.Now().After(end) {
			return n, err
		}
		if err := sleep(ctx, time.Second); err != nil {
			return n, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// fleet has the peers.
type fleet struct {
	config Config
	tasks  []*localsignaling.Server
	peers  []*peer

	mu      sync.Mutex
	samples []drive.Sample
}

// warmUp has one client of each task: the connections to the issuer of the keys stay open
// for a while, and are there before and after.
func (f *fleet) warmUp(ctx context.Context) error {
	for i := range f.tasks {
		p, err := f.open(ctx, i)
		if err != nil {
			return err
		}
		p.close()
		<-p.done
	}
	return sleep(ctx, time.Second)
}

// connect opens all connections, a number of them at a time.
func (f *fleet) connect(ctx context.Context, r *Result) error {
	const atOnce = 64
	f.peers = make([]*peer, r.Connections)
	joins := make([]drive.Sample, r.Connections)
	errs := make(chan error, atOnce)
	next := make(chan int)
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := time.Now()
	for range atOnce {
		group.Go(func() {
			for i := range next {
				start := time.Now()
				p, err := f.open(ctx, i)
				if err != nil {
					errs <- fmt.Errorf("connection %d: %w", i, err)
					cancel()
					return
				}
				f.peers[i] = p
				joins[i] = drive.Sample{Latency: time.Since(start), Weight: 1}
			}
		})
	}
feed:
	for i := range f.peers {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	group.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	r.ConnectSeconds = time.Since(begin).Seconds()
	r.JoinMS = drive.PercentilesOf(joins)
	return ctx.Err()
}

// open opens one connection and joins its room. The first of each room is a gateway.
func (f *fleet) open(ctx context.Context, i int) (*peer, error) {
	site := telemetry.SiteID(fmt.Sprintf("site-%d", i/f.config.PerSite))
	server := f.tasks[i%len(f.tasks)]
	who := token.Identity{Subject: fmt.Sprintf("person-%d", i), Grants: map[telemetry.SiteID]token.Role{site: token.Viewer}}
	if i%f.config.PerSite == 0 {
		name := telemetry.GatewayID(fmt.Sprintf("gateway-%d", i))
		who = token.Identity{Subject: string(name), Gateway: name, Site: site, Role: token.Gateway}
	}
	text, err := server.Token(ctx, who, time.Hour)
	if err != nil {
		return nil, err
	}
	return dial(ctx, server.URL(), text, site, f.received)
}

func (f *fleet) received(latency time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.samples = append(f.samples, drive.Sample{Latency: latency, Weight: 1})
}

// relay sends messages between random peers of one room: of ten, an offer to the gateway, an
// answer from it, and eight candidates.
func (f *fleet) relay(ctx context.Context, r *Result) error {
	const step = 5 * time.Millisecond
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // not a secret
	rooms := len(f.peers) / f.config.PerSite
	if rooms == 0 {
		return fmt.Errorf("%d connections do not fill a room of %d", len(f.peers), f.config.PerSite)
	}
	f.samples = make([]drive.Sample, 0, int(f.config.Duration.Seconds()*float64(f.config.Rate)))
	runtime.GC()
	ticks := time.NewTicker(step)
	defer ticks.Stop()
	begin := time.Now()
	sent := 0
	for time.Since(begin) < f.config.Duration {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks.C:
		}
		due := int(time.Since(begin).Seconds() * float64(f.config.Rate))
		for ; sent < due; sent++ {
			room := random.IntN(rooms) * f.config.PerSite
			gateway, person := f.peers[room], f.peers[room+1+random.IntN(f.config.PerSite-1)]
			var err error
			switch from, to := person, gateway; sent % 10 {
			case 0:
				err = person.offer(gateway.id)
			case 1:
				err = gateway.answer(person.id)
			default:
				if sent%2 == 1 {
					from, to = to, from
				}
				err = from.candidate(to.id)
			}
			if err != nil {
				return fmt.Errorf("relay: %w", err)
			}
		}
	}
	elapsed := time.Since(begin)
	// The last ones are on their way.
	for range 100 {
		f.mu.Lock()
		got := len(f.samples)
		f.mu.Unlock()
		if got >= sent {
			break
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r.Relayed, r.RelayLost = len(f.samples), sent-len(f.samples)
	r.RelayPerS = float64(r.Relayed) / elapsed.Seconds()
	r.RelayMS = drive.PercentilesOf(slices.Clone(f.samples))
	return f.firstError()
}

// firstError returns why a connection ended that should not have.
func (f *fleet) firstError() error {
	for _, p := range f.peers {
		if err := p.failed(); err != nil {
			return fmt.Errorf("a connection ended: %w", err)
		}
	}
	return nil
}

// close leaves, as a page that is closed does.
func (f *fleet) close() {
	for _, p := range f.peers {
		if p != nil {
			p.close()
		}
	}
	for _, p := range f.peers {
		if p != nil {
			<-p.done
		}
	}
	f.peers = nil
}

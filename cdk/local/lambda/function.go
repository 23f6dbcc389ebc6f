package lambda

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// Result is what an invocation came to.
type Result struct {
	// Payload is what the function returned, or the error document
	// {"errorMessage","errorType"} when FunctionError is not empty. It belongs
	// to the caller.
	Payload []byte
	// FunctionError is empty or Unhandled.
	FunctionError string
}

// Function runs one Lambda function. It is safe for concurrent use.
type Function struct {
	cfg     Config
	arn     string
	logs    *lineWriter
	spawner *spawner

	mu       sync.Mutex
	closed   bool
	live     map[*environment]struct{}
	idle     []*environment // the last was used last
	inFlight int            // places taken
	waiting  []*waiter
	starts   backoff
	counts   counts

	stop    chan struct{}  // closed by Close
	running sync.WaitGroup // starts, environments and the reaper
}

// invocation is one payload on its way through an environment.
type invocation struct {
	id       string
	payload  []byte
	trace    string
	deadline time.Time
	started  time.Time
	// fetched is set, under Function.mu, when the process was given the payload.
	fetched bool
	// delivered is closed when the payload is not read any more; only once fetched.
	delivered chan struct{}
	// outcome takes one value: a result, or that the process was gone before it
	// had fetched the payload.
	outcome chan outcome
}

type outcome struct {
	result Result
	err    error
	lost   bool
}

// New returns a Function without any process: the first invocation starts one.
func New(cfg Config) (*Function, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("lambda.New(%q): %w", cfg.Name, err)
	}
	binary, err := filepath.Abs(cfg.Binary)
	if err != nil {
		return nil, fmt.Errorf("lambda.New(%q): %w", cfg.Name, err)
	}
	cfg.Binary = binary
	f := &Function{
		cfg:     cfg,
		arn:     cfg.arn(),
		logs:    &lineWriter{w: cfg.Logs},
		spawner: newSpawner(cfg.Start),
		live:    make(map[*environment]struct{}),
		stop:    make(chan struct{}),
	}
	f.running.Go(f.tend)
	return f, nil
}

// Name returns the function's name.
func (f *Function) Name() string { return f.cfg.Name }

// ARN returns the function's ARN.
func (f *Function) ARN() string { return f.arn }

// Invoke runs the function on payload and waits for the outcome. What went
// wrong inside the function is in the Result; an error means that it was not
// run to its end: ErrThrottled, ErrTooLarge, ErrClosed, an error of the
// operating system, or ctx's. When ctx ends first the function still runs to
// its end, as in Lambda. The payload is not used after the return.
func (f *Function) Invoke(ctx context.Context, payload []byte) (Result, error) {
	if len(payload) > MaxRequestBytes {
		return Result{}, fmt.Errorf("invoke %s with %d bytes: %w", f.cfg.Name, len(payload), ErrTooLarge)
	}
	for range maxLost {
		out, err := f.try(ctx, payload)
		if err == nil {
			err = out.err
		}
		if err != nil {
			return Result{}, fmt.Errorf("invoke %s: %w", f.cfg.Name, err)
		}
		if !out.lost {
			return out.result, nil
		}
	}
	return exited(newUUID(), nil), nil
}

// maxLost bounds how often one invocation is given to another process because
// the one that was to have it was gone before it saw the payload.
const maxLost = 3

func (f *Function) try(ctx context.Context, payload []byte) (outcome, error) {
	inv := &invocation{
		id:        newUUID(),
		payload:   payload,
		trace:     traceOf(ctx, f.cfg.Now),
		delivered: make(chan struct{}),
		outcome:   make(chan outcome, 1),
	}
	if err := f.takePlace(ctx); err != nil {
		return outcome{}, err
	}
	f.mu.Lock()
	if f.closed {
		f.freePlace()
		f.mu.Unlock()
		return outcome{}, ErrClosed
	}
	if n := len(f.idle); n > 0 {
		env := f.idle[n-1]
		f.idle = f.idle[:n-1]
		env.assign(inv)
		f.mu.Unlock()
		return f.await(ctx, env, inv)
	}
	f.running.Add(1) // under mu with closed unset: Close can not have begun to wait
	f.mu.Unlock()
	env, failure, err := f.coldStart(ctx, inv.id)
	f.running.Done()
	if err != nil || env == nil {
		f.mu.Lock()
		f.freePlace()
		if err == nil {
			f.counts.invocations++
			f.counts.errors++
		}
		f.mu.Unlock()
		return outcome{result: failure}, err
	}
	f.mu.Lock()
	if env.dead {
		f.freePlace()
		f.mu.Unlock()
		return outcome{lost: true}, nil
	}
	if ctx.Err() != nil {
		f.release(env)
		f.mu.Unlock()
		return outcome{}, ctx.Err()
	}
	env.assign(inv)
	f.mu.Unlock()
	return f.await(ctx, env, inv)
}

func (f *Function) await(ctx context.Context, env *environment, inv *invocation) (outcome, error) {
	var out outcome
	select {
	case out = <-inv.outcome:
	case <-ctx.Done():
		if f.withdraw(env, inv) {
			return outcome{}, ctx.Err()
		}
		select {
		case <-inv.delivered: // the process has the payload and goes on with it
			return outcome{}, ctx.Err()
		case out = <-inv.outcome:
		}
	}
	f.mu.Lock()
	fetched := inv.fetched
	f.mu.Unlock()
	if fetched {
		// A killed process leaves its payload half written: wait until it is let go.
		<-inv.delivered
	}
	return out, nil
}

// withdraw takes back an invocation that the process has not fetched.
func (f *Function) withdraw(env *environment, inv *invocation) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if env.current != inv || inv.fetched {
		return false
	}
	env.timer.Stop()
	env.current = nil
	select {
	case <-env.work:
	default: // the Runtime API holds it already and will see that it is void
	}
	f.release(env)
	return true
}

// settle ends the environment's current invocation. Callers hold mu.
func (f *Function) settle(env *environment, out outcome) {
	inv := env.current
	env.timer.Stop()
	env.current = nil
	env.pending = nil
	if !out.lost {
		f.counts.invocations++
		if out.result.FunctionError != "" || out.err != nil {
			f.counts.errors++
		}
		f.report(env, inv, out)
	}
	f.release(env)
	inv.outcome <- out
}

// release makes an environment available if it still lives and gives its place
// back. Callers hold mu.
func (f *Function) release(env *environment) {
	if !env.dead && !env.condemned {
		env.idleSince = f.cfg.Now()
		f.idle = append(f.idle, env)
	}
	f.freePlace()
}

// Close stops every process, SIGTERM first and SIGKILL after StopGrace or when
// ctx ends, and waits for all of them. Invocations under way end with ErrClosed.
func (f *Function) Close(ctx context.Context) error {
	f.mu.Lock()
	first := !f.closed
	f.closed = true
	if first {
		close(f.stop)
	}
	for env := range f.live {
		env.terminate()
	}
	f.mu.Unlock()

	gone := make(chan struct{})
	go func() {
		f.running.Wait()
		close(gone)
	}()
	grace := time.NewTimer(f.cfg.StopGrace)
	defer grace.Stop()
	select {
	case <-gone:
	case <-grace.C:
	case <-ctx.Done():
	}
	f.mu.Lock()
	for env := range f.live {
		env.kill()
	}
	f.mu.Unlock()
	<-gone
	if first {
		f.spawner.close()
	}
	return nil
}

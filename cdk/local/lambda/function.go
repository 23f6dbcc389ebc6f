package lambda

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// Result is the result of an invocation.
type Result struct {
	// Payload is what the function returned, or the error document
	// {"errorMessage","errorType"} if FunctionError is not empty. It belongs to the
	// caller.
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
	idle     []*environment // the last one was used last
	inFlight int            // invocations that count against the concurrency
	waiting  []*waiter
	starts   backoff
	counts   counts

	stop    chan struct{}  // closed by Close
	running sync.WaitGroup // starts, environments and maintain
}

// invocation is one payload that is processed, or waits for that.
type invocation struct {
	id       string
	payload  []byte
	trace    string
	deadline time.Time
	started  time.Time
	// fetched is set, under Function.mu, when the process was given the payload.
	fetched bool
	// delivered is closed when the payload is not read anymore, after fetched was set.
	delivered chan struct{}
	// outcome receives one value: a result, or that the process ended before it fetched
	// the payload.
	outcome chan outcome
}

type outcome struct {
	result Result
	err    error
	lost   bool // the process ended before it fetched the payload
}

// New returns a Function without a process: the first invocation starts one.
func New(cfg Config) (*Function, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
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
	f.running.Go(f.maintain)
	return f, nil
}

// Name returns the function's name.
func (f *Function) Name() string { return f.cfg.Name }

// ARN returns the function's ARN.
func (f *Function) ARN() string { return f.arn }

// Invoke invokes the function with payload and waits for its result. The Result reports
// errors of the function; an error means that it did not run to its end: ErrThrottled,
// ErrTooLarge, ErrClosed, an error of the operating system, or ctx's. When ctx ends
// first the function still runs to its end, as in Lambda. Invoke does not use the
// payload after it returned.
func (f *Function) Invoke(ctx context.Context, payload []byte) (Result, error) {
	if len(payload) > MaxRequestBytes {
		return Result{}, fmt.Errorf("invoke %s with %d bytes: %w", f.cfg.Name, len(payload), ErrTooLarge)
	}
	for range maxLost {
		out, err := f.invokeOnce(ctx, payload)
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

// maxLost limits how often an invocation is given to a process that ends before it
// fetches the payload.
const maxLost = 3

func (f *Function) invokeOnce(ctx context.Context, payload []byte) (outcome, error) {
	inv := &invocation{
		id:        newUUID(),
		payload:   payload,
		trace:     traceOf(ctx, f.cfg.Now),
		delivered: make(chan struct{}),
		outcome:   make(chan outcome, 1),
	}
	if err := f.acquire(ctx); err != nil {
		return outcome{}, err
	}
	f.mu.Lock()
	if f.closed {
		f.releaseConcurrency()
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
	f.running.Add(1) // mu is held and closed is not set: Close does not wait yet
	f.mu.Unlock()
	env, failure, err := f.coldStart(ctx, inv.id)
	f.running.Done()
	if err != nil || env == nil {
		f.mu.Lock()
		f.releaseConcurrency()
		if err == nil {
			f.counts.invocations++
			f.counts.errors++
		}
		f.mu.Unlock()
		return outcome{result: failure}, err
	}
	f.mu.Lock()
	if env.dead {
		f.releaseConcurrency()
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
		case <-inv.delivered: // the process has the payload and processes it
			return outcome{}, ctx.Err()
		case out = <-inv.outcome:
		}
	}
	f.mu.Lock()
	fetched := inv.fetched
	f.mu.Unlock()
	if fetched {
		// The payload may be half written to a process that was killed: wait for its release.
		<-inv.delivered
	}
	return out, nil
}

// withdraw cancels an invocation that the process has not fetched; false means that it has.
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
	default: // the Runtime API has received it and will see that it is not current
	}
	f.release(env)
	return true
}

// settle completes the environment's current invocation. Callers hold mu.
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

// release makes an environment idle, if it is alive, and releases its concurrency.
// Callers hold mu.
func (f *Function) release(env *environment) {
	if !env.dead && !env.stopping {
		env.idleSince = f.cfg.Now()
		f.idle = append(f.idle, env)
	}
	f.releaseConcurrency()
}

// Close stops every process, SIGTERM first and SIGKILL after StopGrace or when
// ctx ends, and waits for all of them. Invocations in flight end with ErrClosed.
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

	ended := make(chan struct{})
	go func() {
		f.running.Wait()
		close(ended)
	}()
	grace := time.NewTimer(f.cfg.StopGrace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
	case <-ctx.Done():
	}
	f.mu.Lock()
	for env := range f.live {
		env.kill()
	}
	f.mu.Unlock()
	<-ended
	if first {
		f.spawner.close()
	}
	return nil
}

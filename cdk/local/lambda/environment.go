package lambda

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// environment is one process and its Runtime API.
type environment struct {
	f    *Function
	cmd  *exec.Cmd
	pid  int
	work chan *invocation // holds at most the one that is current
	// ready is closed by the first request for an invocation, exited after the process
	// has been reaped.
	ready  chan struct{}
	exited chan struct{}
	// ended is closed when the process has ended and gets no invocation anymore.
	ended chan struct{}

	// The fields below are guarded by Function.mu.

	current *invocation
	timer   *time.Timer
	// pending is the error that the process reported for current; it becomes the outcome
	// when the process asks for its next invocation or exits.
	pending *Result
	// initError is the document of /runtime/init/error.
	initError []byte
	isReady   bool
	dead      bool // it was reaped
	// stopping: the process was signaled and gets no invocation anymore.
	stopping bool
	// timedOut: the process was killed because its invocation exceeded the timeout.
	timedOut  bool
	waitErr   error
	idleSince time.Time
}

// coldStart starts a process and waits until it asks for an invocation. If it returns
// neither an environment nor an error, the Result says how the init phase failed.
func (f *Function) coldStart(ctx context.Context, requestID string) (*environment, Result, error) {
	if wait := f.startDelay(); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-f.stop:
			return nil, Result{}, ErrClosed
		}
	}
	begin := f.cfg.Now()
	env, err := f.spawn(context.WithoutCancel(ctx))
	if err != nil {
		f.startEnded(false)
		return nil, Result{}, err
	}
	timeout := time.NewTimer(f.cfg.InitTimeout)
	defer timeout.Stop()
	initTimedOut := false
	select {
	case <-env.ready:
		f.reportStart(f.cfg.Now().Sub(begin))
		f.startEnded(true)
		return env, Result{}, nil
	case <-timeout.C:
		initTimedOut = true
		env.kill()
		<-env.exited
	case <-env.exited:
	}
	f.startEnded(false)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, Result{}, ErrClosed
	case initTimedOut:
		return nil, timedOut(requestID, f.cfg.InitTimeout), nil
	case env.initError != nil:
		return nil, Result{Payload: env.initError, FunctionError: Unhandled}, nil
	default:
		return nil, exited(requestID, env.waitErr), nil
	}
}

// spawn starts the process, its Runtime API and its log.
func (f *Function) spawn(ctx context.Context) (*environment, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("runtime api: %w", err)
	}
	output, input, err := os.Pipe()
	if err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("log pipe: %w", err)
	}
	root := filepath.Dir(f.cfg.Binary)
	cmd := exec.Command(f.cfg.Binary) //nolint:gosec,noctx // running the given binary is the purpose; it ends by signal
	cmd.Dir = root
	cmd.Env = f.cfg.environ(listener.Addr().String(), f.logStream(), root)
	cmd.Stdout, cmd.Stderr = input, input
	env := &environment{
		f:      f,
		cmd:    cmd,
		work:   make(chan *invocation, 1),
		ready:  make(chan struct{}),
		exited: make(chan struct{}),
		ended:  make(chan struct{}),
	}
	err = f.spawner.start(cmd)
	_ = input.Close() // the process has its own copy
	if err != nil {
		_ = listener.Close()
		_ = output.Close()
		return nil, fmt.Errorf("start %s: %w", f.cfg.Binary, err)
	}
	env.pid = cmd.Process.Pid
	api := newRuntimeAPI(env, listener)

	f.mu.Lock()
	f.live[env] = struct{}{}
	f.counts.coldStarts++
	if f.closed {
		env.terminate()
	}
	f.mu.Unlock()
	f.running.Go(api.serve)
	f.running.Go(func() { env.reap(api, output) })
	return env, nil
}

// reap waits for the end of the process and settles its invocation, if it has one.
func (e *environment) reap(api *runtimeAPI, output *os.File) {
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		e.f.logs.copyLines(output)
	}()
	err := e.cmd.Wait()
	// A child of the process may keep the log open: kill it, too. One that has left the
	// process group may keep it open for longer: what it writes then is not waited for.
	_ = syscall.Kill(-e.pid, syscall.SIGKILL)
	_ = output.SetReadDeadline(time.Now().Add(30 * time.Second))
	<-copied
	_ = output.Close()
	close(e.ended)
	api.close()

	f := e.f
	f.mu.Lock()
	e.dead, e.waitErr = true, err
	delete(f.live, e)
	for i, other := range f.idle {
		if other == e {
			f.idle = append(f.idle[:i], f.idle[i+1:]...)
			break
		}
	}
	f.counts.addDead(e.cmd.ProcessState)
	if inv := e.current; inv != nil {
		f.settle(e, e.exitOutcome(inv))
	}
	f.mu.Unlock()
	close(e.exited)
}

// exitOutcome returns the outcome of the invocation during which the process ended.
func (e *environment) exitOutcome(inv *invocation) outcome {
	switch {
	case e.f.closed && e.pending == nil:
		return outcome{err: ErrClosed}
	case e.timedOut:
		return outcome{result: timedOut(inv.id, e.f.cfg.Timeout)}
	case e.pending != nil:
		return outcome{result: *e.pending}
	case !inv.fetched:
		return outcome{lost: true}
	default:
		return outcome{result: exited(inv.id, e.waitErr)}
	}
}

// assign gives the environment its next invocation. Callers hold mu and have removed
// the environment from the idle ones.
func (e *environment) assign(inv *invocation) {
	inv.started = e.f.cfg.Now()
	inv.deadline = inv.started.Add(e.f.cfg.Timeout)
	e.current = inv
	e.timer = time.AfterFunc(e.f.cfg.Timeout, func() { e.killLate(inv) })
	e.work <- inv
}

// killLate kills the process if inv is still its invocation.
func (e *environment) killLate(inv *invocation) {
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	if e.current != inv || e.dead {
		return
	}
	e.timedOut = true
	e.stopping = true
	e.kill()
}

// terminate sends SIGTERM to the process. Callers hold mu.
func (e *environment) terminate() {
	e.stopping = true
	if !e.dead {
		_ = e.cmd.Process.Signal(syscall.SIGTERM)
	}
}

// kill kills the process. Unlike syscall.Kill it never signals another process that
// got the PID after this one was reaped.
func (e *environment) kill() { _ = e.cmd.Process.Kill() }

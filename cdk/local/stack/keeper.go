package stack

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// server is a running program.
type server interface {
	PID() int
	Exited() <-chan struct{}
	Stop(ctx context.Context) error
}

// keeper keeps a server running: when it ends by itself, it is started again.
type keeper[S server] struct {
	name, log           string // as the user is told; of its file in logs
	startTime, stopTime time.Duration
	// start starts the server again, at the address that it had.
	start func(ctx context.Context) (S, error)
	say   func(format string, args ...any)

	cancel context.CancelFunc // ends tend
	ended  chan struct{}

	mu     sync.Mutex
	server S
}

// keep has a server tended until close. The context's end does not matter any more.
func (k *keeper[S]) keep(ctx context.Context, running S) {
	k.server, k.ended = running, make(chan struct{})
	ctx, k.cancel = context.WithCancel(context.WithoutCancel(ctx)) //nolint:gosec // close calls it
	go k.tend(ctx)
}

// tend restarts the server whenever it ends.
func (k *keeper[S]) tend(ctx context.Context) {
	defer close(k.ended)
	restarts := restarts{}
	for {
		started := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-k.current().Exited():
		}
		if ctx.Err() != nil {
			return
		}
		k.tell("ended by itself; starting it again (its log: logs/%s.log)", k.log)
		if !restarts.until(ctx, time.Since(started), k.restart) {
			return
		}
		k.tell("is back")
	}
}

func (k *keeper[S]) restart(ctx context.Context) bool {
	start, cancel := context.WithTimeout(ctx, k.startTime)
	defer cancel()
	started, err := k.start(start)
	if err != nil {
		if ctx.Err() == nil {
			k.tell("%v", err)
		}
		return false
	}
	k.mu.Lock()
	k.server = started
	k.mu.Unlock()
	return true
}

func (k *keeper[S]) tell(format string, args ...any) {
	k.say("%-10s %s", k.name, fmt.Sprintf(format, args...))
}

func (k *keeper[S]) current() S {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.server
}

func (k *keeper[S]) pid() int { return k.current().PID() }

func (k *keeper[S]) close(ctx context.Context) error {
	k.cancel()
	<-k.ended
	ctx, cancel := context.WithTimeout(ctx, k.stopTime)
	defer cancel()
	return k.current().Stop(ctx)
}

package stack

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// server is a running server program.
type server interface {
	PID() int
	Exited() <-chan struct{}
	Stop(ctx context.Context) error
}

// supervisor restarts a server that ends by itself.
type supervisor[S server] struct {
	name, log                 string // for messages; of its file in logs, without .log
	startTimeout, stopTimeout time.Duration
	// start starts the server at the address that it had before.
	start  func(ctx context.Context) (S, error)
	printf func(format string, args ...any)

	cancel context.CancelFunc // ends loop
	ended  chan struct{}

	mu     sync.Mutex
	server S
}

// supervise watches a running server until close. It outlives ctx.
func (s *supervisor[S]) supervise(ctx context.Context, running S) {
	s.server, s.ended = running, make(chan struct{})
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx)) //nolint:gosec // close calls it
	go s.loop(ctx)
}

// loop restarts the server whenever it ends.
func (s *supervisor[S]) loop(ctx context.Context) {
	defer close(s.ended)
	var delays backoff
	for {
		started := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-s.current().Exited():
		}
		if ctx.Err() != nil {
			return
		}
		s.report("ended unexpectedly; restarting (log: logs/%s.log)", s.log)
		if !delays.retry(ctx, time.Since(started), s.restart) {
			return
		}
		s.report("restarted")
	}
}

func (s *supervisor[S]) restart(ctx context.Context) bool {
	start, cancel := context.WithTimeout(ctx, s.startTimeout)
	defer cancel()
	started, err := s.start(start)
	if err != nil {
		if ctx.Err() == nil {
			s.report("%v", err)
		}
		return false
	}
	s.mu.Lock()
	s.server = started
	s.mu.Unlock()
	return true
}

func (s *supervisor[S]) report(format string, args ...any) {
	s.printf("%-10s %s", s.name, fmt.Sprintf(format, args...))
}

func (s *supervisor[S]) current() S {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

func (s *supervisor[S]) pid() int { return s.current().PID() }

func (s *supervisor[S]) close(ctx context.Context) error {
	s.cancel()
	<-s.ended
	ctx, cancel := context.WithTimeout(ctx, s.stopTimeout)
	defer cancel()
	return s.current().Stop(ctx)
}

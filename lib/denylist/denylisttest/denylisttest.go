// Package denylisttest is a bucket in memory, for the tests of those that publish or read the
// list of denied tokens.
package denylisttest

import (
	"context"
	"sync"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Objects is a bucket with one object. The zero Objects has none.
type Objects struct {
	mu    sync.Mutex
	state State
}

// State is what a test may set.
type State struct {
	Body  []byte
	ETag  string
	Reads int
	// Down fails every call, Hang makes reads wait for the end of their context.
	Down, Hang bool
	Delay      time.Duration // of a read
}

// GetTagged implements denylist.Tagged.
func (o *Objects) GetTagged(ctx context.Context, _, known string) ([]byte, string, error) {
	var s State
	o.Set(func(state *State) {
		state.Reads++
		s = *state
	})
	if s.Hang {
		<-ctx.Done()
		return nil, "", ctx.Err()
	}
	time.Sleep(s.Delay)
	switch {
	case s.Down:
		return nil, "", telemetry.ErrUnavailable
	case s.ETag == "":
		return nil, "", telemetry.ErrNotFound
	case s.ETag == known:
		return nil, known, nil
	}
	return s.Body, s.ETag, nil
}

// PutIf implements denylist.Objects.
func (o *Objects) PutIf(_ context.Context, _ string, body []byte, etag string) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.state.Down:
		return "", telemetry.ErrUnavailable
	case o.state.ETag != etag:
		return "", telemetry.ErrConflict
	}
	o.state.Body, o.state.ETag = body, etag+"x"
	return o.state.ETag, nil
}

// Set changes the state.
func (o *Objects) Set(f func(*State)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(&o.state)
}

// State returns the state.
func (o *Objects) State() (s State) {
	o.Set(func(state *State) { s = *state })
	return s
}

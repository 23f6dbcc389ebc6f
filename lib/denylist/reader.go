package denylist

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/lambda/background"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Tagged reads the object. Body is nil if it still has the ETag known. The error wraps
// telemetry.ErrNotFound if there is no object.
type Tagged interface {
	GetTagged(ctx context.Context, key, known string) (body []byte, etag string, err error)
}

// Denials says whether a token is denied.
type Denials interface {
	// Denied reports whether the token is denied. An error, which wraps
	// telemetry.ErrUnavailable, means that the list has been unknown for longer than
	// MaxAge: the token may be denied. The caller decides what it does then.
	Denied(ctx context.Context, t Token) (bool, error)
}

// Nothing is Denials that denies nothing.
type Nothing struct{}

// Denied implements Denials.
func (Nothing) Denied(context.Context, Token) (bool, error) { return false, nil }

// Defaults of ReaderConfig.
const (
	// RefreshEvery is the age at which a request waits for a newer list.
	RefreshEvery = 5 * time.Second
	// MaxAge is the age from which on a list that could not be read again is not relied upon.
	MaxAge = 5 * time.Minute
	// ReadTimeout limits a read, and so how long a request waits for it.
	ReadTimeout = 500 * time.Millisecond
)

// ReaderConfig configures a Reader. Objects, Log, Registerer and Now are required.
type ReaderConfig struct {
	Objects    Tagged
	Log        *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time

	RefreshEvery, MaxAge, ReadTimeout time.Duration
	// RetryEvery is the least time between two reads after one failed; 1 s. A request waits
	// for such a read for Linger only, 50 ms.
	RetryEvery, Linger time.Duration
}

// Reader reads the list, and remembers it. It is safe for concurrent use.
//
// A list is as old as the start of the read that found it, by the wall clock: an environment
// is frozen between invocations. From half of RefreshEvery on a request starts a read and
// goes on with the list that it has, so that under load no request waits.
type Reader struct {
	config ReaderConfig
	reads  *prometheus.CounterVec

	mu       sync.Mutex
	work     background.Work
	list     *List
	etag     string
	asOf     int64 // nanoseconds since the Unix epoch; 0 before the first read
	failures int   // since the last read that succeeded
	next     int64 // no read starts before, after a failure
}

var _ Denials = (*Reader)(nil)

// The outcomes of a read.
const (
	readOK     = "ok"
	readFailed = "failed"
)

// NewReader returns a Reader, which reads with the first token. The error is that of
// registering its metrics.
func NewReader(config ReaderConfig) (*Reader, error) {
	config.RefreshEvery = cmp.Or(config.RefreshEvery, RefreshEvery)
	config.MaxAge = cmp.Or(config.MaxAge, MaxAge)
	config.ReadTimeout = cmp.Or(config.ReadTimeout, ReadTimeout)
	config.RetryEvery = cmp.Or(config.RetryEvery, time.Second)
	config.Linger = cmp.Or(config.Linger, 50*time.Millisecond)
	r := &Reader{config: config, list: &List{}, reads: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "insighthub_deny_list_reads_total", Help: "Reads of the list of denied tokens, by outcome.",
	}, []string{"outcome"})}
	for _, outcome := range []string{readOK, readFailed} {
		r.reads.WithLabelValues(outcome)
	}
	if err := config.Registerer.Register(r.reads); err != nil {
		return nil, fmt.Errorf("deny list: %w", err)
	}
	return r, nil
}

// Denied implements Denials.
func (r *Reader) Denied(ctx context.Context, t Token) (bool, error) {
	// A read that was in progress while the environment was frozen may have failed by its
	// timeout: then this request starts another one.
	for range 2 {
		task, wait := r.refresh(ctx)
		if wait == 0 {
			break
		}
		waiting, cancel := context.WithTimeout(ctx, wait)
		task.Wait(waiting)
		cancel()
	}
	r.mu.Lock()
	list, age := r.list, r.age()
	r.mu.Unlock()
	switch {
	case list.Denies(t):
		return true, nil
	case age > r.config.MaxAge:
		return false, fmt.Errorf("deny list: %w: not read since more than %v", telemetry.ErrUnavailable, r.config.MaxAge)
	default:
		return false, nil
	}
}

// age is how old the list is; callers hold mu.
func (r *Reader) age() time.Duration {
	if r.asOf == 0 {
		return r.config.MaxAge + 1
	}
	age := time.Duration(r.config.Now().UnixNano() - r.asOf)
	if age < 0 { // the clock was set back
		return r.config.RefreshEvery
	}
	return age
}

// refresh starts a read if one is due, and returns how long the request waits for the one in
// progress.
func (r *Reader) refresh(ctx context.Context) (background.Task, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	age := r.age()
	if age < r.config.RefreshEvery/2 {
		return nil, 0
	}
	started := false
	if !r.work.Busy() {
		now := r.config.Now().UnixNano()
		if r.failures > 0 && now < r.next && r.next-now <= int64(r.config.RetryEvery) {
			return nil, 0
		}
		started = true
		r.next = now + int64(r.config.RetryEvery)
		known := r.etag
		r.work.Begin(context.WithoutCancel(ctx), r.config.ReadTimeout, func(ctx context.Context) { r.read(ctx, known, now) })
	}
	switch {
	case age < r.config.RefreshEvery:
		return nil, 0
	case r.failures > 0 && !started:
		return nil, 0
	case r.failures > 1: // one may be due to a freeze
		return r.work.Last(), r.config.Linger
	default:
		return r.work.Last(), r.config.ReadTimeout
	}
}

// read reads the object, if it has not the ETag known.
func (r *Reader) read(ctx context.Context, known string, start int64) {
	list, etag, err := r.get(ctx, known)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failures++
		r.reads.WithLabelValues(readFailed).Inc()
		r.config.Log.WarnContext(ctx, "deny list not read", "failures", r.failures, "error", err)
		return
	}
	r.reads.WithLabelValues(readOK).Inc()
	r.failures, r.asOf = 0, start
	if list != nil {
		r.list, r.etag = list, etag
	}
}

// get returns nil for a list that has not changed.
func (r *Reader) get(ctx context.Context, known string) (*List, string, error) {
	body, etag, err := r.config.Objects.GetTagged(ctx, Key, known)
	switch {
	case errors.Is(err, telemetry.ErrNotFound) && known == "":
		return nil, "", nil // nothing was ever denied
	case err != nil: // also of an object that was deleted
		return nil, "", err
	case body == nil:
		return nil, known, nil
	}
	list, err := parse(body)
	return list, etag, err
}

package shardstatetest

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3 uses it for ETags
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Memory implements shardstate.Objects in memory. Its ETags are hashes of the content,
// as those of S3 may be, so that equal contents have the same ETag.
type Memory struct {
	mu      sync.Mutex
	objects map[string][]byte
}

var _ shardstate.Objects = (*Memory)(nil)

// GetTagged implements shardstate.Objects.
func (m *Memory) GetTagged(_ context.Context, key, known string) (body []byte, etag string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	body, ok := m.objects[key]
	if !ok {
		return nil, "", fmt.Errorf("get %s: %w", key, telemetry.ErrNotFound)
	}
	if etag = tagOf(body); etag == known {
		return nil, etag, nil
	}
	return bytes.Clone(body), etag, nil
}

// PutIf implements shardstate.Objects.
func (m *Memory) PutIf(_ context.Context, key string, body []byte, etag string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var have string
	if existing, ok := m.objects[key]; ok {
		have = tagOf(existing)
	}
	if have != etag {
		return "", fmt.Errorf("put %s: %w", key, telemetry.ErrConflict)
	}
	if m.objects == nil {
		m.objects = make(map[string][]byte)
	}
	m.objects[key] = bytes.Clone(body)
	return tagOf(body), nil
}

func tagOf(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // see the import
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// fault is how a put fails.
type fault int

const (
	noFault fault = iota
	// notApplied: it is not applied and fails.
	notApplied
	// responseLost: it is applied and fails.
	responseLost
	// retryRejected: it is applied, its response is lost, and the client's retry conflicts.
	retryRejected
	// delayed: it fails and is applied later.
	delayed
	// appliedUnreadable: it is applied and fails, and so do the reads after it.
	appliedUnreadable
	faults
)

// faulty injects faults into puts.
type faulty struct {
	shardstate.Objects
	next       fault // of the next put
	unreadable bool  // reads fail
	pending    []func(context.Context)
}

func (f *faulty) GetTagged(ctx context.Context, key, known string) (body []byte, etag string, err error) {
	if f.unreadable {
		return nil, "", fmt.Errorf("get %s: %w", key, telemetry.ErrUnavailable)
	}
	return f.Objects.GetTagged(ctx, key, known)
}

func (f *faulty) PutIf(ctx context.Context, key string, body []byte, etag string) (string, error) {
	next := f.next
	f.next = noFault
	lost := fmt.Errorf("put %s: %w", key, telemetry.ErrUnavailable)
	switch next {
	case notApplied:
		return "", lost
	case delayed:
		body := bytes.Clone(body)
		f.pending = append(f.pending, func(ctx context.Context) { _, _ = f.Objects.PutIf(ctx, key, body, etag) })
		return "", lost
	default:
	}
	written, err := f.Objects.PutIf(ctx, key, body, etag)
	if err != nil {
		return "", err
	}
	switch next {
	case responseLost:
		return "", lost
	case retryRejected:
		return f.Objects.PutIf(ctx, key, body, etag)
	case appliedUnreadable:
		f.unreadable = true
		return "", lost
	default:
		return written, nil
	}
}

// apply applies a put that was delayed.
func (f *faulty) apply(ctx context.Context, i int) {
	put := f.pending[i]
	f.pending = append(f.pending[:i], f.pending[i+1:]...)
	put(ctx)
}

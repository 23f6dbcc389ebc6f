package shardstate

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Lease is a shard's state while one invocation uses it, which may change State in
// place. It ends with Save or Release; after one that is dropped without either, the
// next Load reads the object. It is not safe for concurrent use.
type Lease[S any] struct {
	// State contains the records up to the one that Watermark returns.
	State S

	store *Store[S]
	shard ShardID
	entry *entry[S] // nil once the lease has ended
	// unconfirmed: State is from this process's memory, and whether it is the stored
	// one has not been checked.
	unconfirmed bool
	size        int // of the encoded state, by Save
}

// ErrStale says that the state of a lease from Recall is not the stored one: another
// invocation has saved since. It wraps telemetry.ErrConflict. The invocation repeats
// its attempt with Load, or fails.
var ErrStale = fmt.Errorf("the state in memory is stale: %w", telemetry.ErrConflict)

var errEnded = fmt.Errorf("the lease has ended: %w", telemetry.ErrInvalid)

// Watermark returns the last record in the state as it was loaded; empty if no record
// of this shard is in it.
func (l *Lease[S]) Watermark() Sequence {
	if l.entry == nil {
		return ""
	}
	return l.entry.watermark
}

// StateBytes returns the size of the state that Save encoded, before compression.
func (l *Lease[S]) StateBytes() int { return l.size }

// Confirm checks that the state that Recall returned is the stored one; a repeated
// call makes no request. It must return nil before the first effect. The error wraps
// ErrStale if another state is stored, and ends the lease; any other error leaves the
// lease as it was.
func (l *Lease[S]) Confirm(ctx context.Context) error {
	if l.entry == nil {
		return errEnded
	}
	if !l.unconfirmed {
		return nil
	}
	known := l.entry.etag
	body, etag, err := l.store.cfg.Objects.GetTagged(ctx, l.store.Key(l.shard), known)
	switch {
	case errors.Is(err, telemetry.ErrNotFound), err == nil && (body != nil || etag != known):
		l.entry = nil
		l.store.markStale(l.shard)
		err = ErrStale
	case err == nil:
		l.unconfirmed = false
		return nil
	}
	return fmt.Errorf("confirm state of %s, shard %s: %w", l.store.cfg.Consumer, l.shard, err)
}

// Release ends a lease whose State was not changed and caches the state.
func (l *Lease[S]) Release() {
	if e := l.entry; e != nil && e.etag != "" {
		l.store.addToCache(l.shard, e)
	}
	l.entry = nil
}

// Save writes State as that of watermark, which must be above the one that was
// loaded, unless another invocation has saved since the lease was loaded. All effects
// of the records up to watermark must be durable. It ends the lease, and on success
// caches the state.
//
// An error that wraps telemetry.ErrConflict says that another invocation has
// saved: the invocation must fail; its records are delivered again, and those that
// the other one has done are skipped. After any other error the state may be saved
// now, later or never; the invocation must fail then, too. If the response to a write
// was lost, Save reads the object and recognizes its nonce before it returns an
// error. For a lease from Recall that was not confirmed, a conflict wraps ErrStale.
func (l *Lease[S]) Save(ctx context.Context, watermark Sequence) error {
	if err := l.save(ctx, watermark); err != nil {
		return fmt.Errorf("save state of %s, shard %s, at %q: %w", l.store.cfg.Consumer, l.shard, watermark, err)
	}
	return nil
}

func (l *Lease[S]) save(ctx context.Context, watermark Sequence) error {
	e := l.entry
	if e == nil {
		return errEnded
	}
	if err := watermark.Validate(); err != nil {
		return err
	}
	if watermark.Compare(e.watermark) <= 0 {
		return fmt.Errorf("not above the watermark %s: %w", e.watermark, telemetry.ErrInvalid)
	}
	l.entry = nil
	var mine nonce
	if _, err := io.ReadFull(l.store.cfg.Rand, mine[:]); err != nil {
		return fmt.Errorf("nonce: %w", err)
	}
	key := l.store.Key(l.shard)
	body, size, err := l.store.encode(e.buffer[:0], key, mine, watermark, l.State)
	l.size = size
	if err != nil {
		return err
	}
	etag, err := l.store.cfg.Objects.PutIf(ctx, key, body, e.etag)
	if err != nil {
		// A transport may still be reading the body, so the buffer is not reused.
		body = nil
		if l.unconfirmed && errors.Is(err, telemetry.ErrConflict) {
			// Even if the conflict is with this save's own retry: the next attempt
			// then finds the records done.
			l.store.markStale(l.shard)
			return fmt.Errorf("%w: %w", ErrStale, err)
		}
		if etag, err = l.store.ownWrite(ctx, key, mine, err); err != nil {
			return err
		}
	}
	l.store.addToCache(l.shard, &entry[S]{etag: etag, watermark: watermark, state: l.State, buffer: body})
	return nil
}

// ownWrite returns the ETag of the object if it is the one that a failed put has
// written, else the put's error.
func (s *Store[S]) ownWrite(ctx context.Context, key string, mine nonce, failure error) (string, error) {
	if errors.Is(failure, telemetry.ErrInvalid) || ctx.Err() != nil {
		return "", failure
	}
	body, etag, err := s.cfg.Objects.GetTagged(ctx, key, "")
	if err != nil {
		return "", errors.Join(failure, fmt.Errorf("read whether it was written: %w", err))
	}
	if o, err := parseObject(key, body); err != nil || o.nonce != mine {
		return "", failure
	}
	return etag, nil
}

// encode appends an object to dst; size is that of the state in it, before compression.
func (s *Store[S]) encode(dst []byte, key string, mine nonce, watermark Sequence, state S) (object []byte, size int, err error) {
	dst = appendHeader(dst, mine, watermark, s.cfg.Compress)
	start := len(dst)
	if dst, err = s.cfg.Codec.Append(dst, state); err != nil {
		return nil, 0, fmt.Errorf("encode: %w", err)
	}
	if size = len(dst) - start; size > s.cfg.MaxStateBytes {
		return nil, size, fmt.Errorf("state of %d bytes, more than %d: %w", size, s.cfg.MaxStateBytes, telemetry.ErrInvalid)
	}
	if s.cfg.Compress {
		dst = s.compress.encoder.EncodeAll(dst[start:], append([]byte(nil), dst[:start]...))
	}
	return appendTrailer(dst, key), size, nil
}

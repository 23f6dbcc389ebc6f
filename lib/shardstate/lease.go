package shardstate

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Lease is a shard's state in the hands of one invocation, which may change
// State in place. It ends with Save or Release; one that is dropped without
// either costs the next Load a fetch. It is not safe for concurrent use.
type Lease[S any] struct {
	// State is true up to the watermark that Watermark returns.
	State S

	store *Store[S]
	shard ShardID
	entry *entry[S] // nil once the lease has ended
	// unasked: State is this process's memory, and nobody has asked yet whether
	// the object still is the one that it stands for.
	unasked bool
	size    int // of the encoded state, by Save
}

// ErrStale says that the state of a lease from Recall is not the one that is
// stored: another invocation has saved since. It wraps telemetry.ErrConflict. The
// invocation begins again with Load, or fails.
var ErrStale = fmt.Errorf("the state in memory is an old one: %w", telemetry.ErrConflict)

var errEnded = fmt.Errorf("the lease has ended: %w", telemetry.ErrInvalid)

// Watermark returns the last record in the state as it was loaded, empty when
// none of this shard's is.
func (l *Lease[S]) Watermark() Sequence {
	if l.entry == nil {
		return ""
	}
	return l.entry.watermark
}

// StateBytes returns the size of the state that Save has encoded, before compression.
func (l *Lease[S]) StateBytes() int { return l.size }

// Confirm asks whether what Recall has returned is what is stored, unless that is
// known; before the first effect of a lease it must have returned nil. The
// error wraps ErrStale when it is not, and the lease has ended; after any other
// error the lease is as it was.
func (l *Lease[S]) Confirm(ctx context.Context) error {
	if l.entry == nil {
		return errEnded
	}
	if !l.unasked {
		return nil
	}
	known := l.entry.etag
	body, etag, err := l.store.cfg.Objects.GetTagged(ctx, l.store.Key(l.shard), known)
	switch {
	case errors.Is(err, telemetry.ErrNotFound), err == nil && (body != nil || etag != known):
		l.entry = nil
		l.store.outdated(l.shard)
		err = ErrStale
	case err == nil:
		l.unasked = false
		return nil
	}
	return fmt.Errorf("confirm state of %s, shard %s: %w", l.store.cfg.Consumer, l.shard, err)
}

// Release ends a lease whose State was not changed and keeps it in memory.
func (l *Lease[S]) Release() {
	if e := l.entry; e != nil && e.etag != "" {
		l.store.keep(l.shard, e)
	}
	l.entry = nil
}

// Save writes State as true up to watermark, which must be above the one that
// was loaded, if nobody else has saved since the lease was loaded. All effects
// of the records up to there must be durable by now. It ends the lease, and on
// success keeps the state in memory.
//
// An error that wraps telemetry.ErrConflict says that another invocation has
// saved: the invocation fails, the records come again, and those that the other
// one has done are skipped. After any other error the state may be saved now,
// later or never; to fail is right there too. A write whose answer was lost is
// looked up, and recognised by its nonce, before an error is returned. Where the
// lease is from Recall and was not confirmed, a conflict wraps ErrStale.
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
		// A transport may still be reading the body: it is not used again.
		body = nil
		if l.unasked && errors.Is(err, telemetry.ErrConflict) {
			// Be it this save's own repetition: who begins again finds it done.
			l.store.outdated(l.shard)
			return fmt.Errorf("%w: %w", ErrStale, err)
		}
		if etag, err = l.store.settle(ctx, key, mine, err); err != nil {
			return err
		}
	}
	l.store.keep(l.shard, &entry[S]{etag: etag, watermark: watermark, state: l.State, buffer: body})
	return nil
}

// settle returns the ETag of the object if it is the one that a failed put has
// written, else the put's error.
func (s *Store[S]) settle(ctx context.Context, key string, mine nonce, failure error) (string, error) {
	if errors.Is(failure, telemetry.ErrInvalid) || ctx.Err() != nil {
		return "", failure
	}
	body, etag, err := s.cfg.Objects.GetTagged(ctx, key, "")
	if err != nil {
		return "", errors.Join(failure, fmt.Errorf("look up whether it was written: %w", err))
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

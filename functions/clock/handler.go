package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	// interval is the time between the ticks of a shard, and minute that between two
	// invocations, of which each puts the ticks at 0, 5, … 55 s.
	interval = 5 * time.Second
	minute   = time.Minute
	// margin is left before the deadline of the invocation for its response.
	margin = time.Second
	// partitionKey of the ticks, whose hash key selects the shard.
	partitionKey = "tick"
)

// shards lists the shards of the stream that accept records.
type shards interface {
	// Open returns a hash key of each.
	Open(ctx context.Context) (hashKeys []string, err error)
}

// stream stores records. An error says that not all are stored; a retry may store one twice.
type stream interface {
	Put(ctx context.Context, records []kinesis.Record) error
}

var (
	_ shards = (*kinesis.Shards)(nil)
	_ stream = (*kinesis.Producer)(nil)
)

// handler puts a tick on each shard, every interval until its minute is over.
type handler struct {
	shards shards
	stream stream
	log    *slog.Logger
	now    func() time.Time
}

// outcome is the response of an invocation: how many rounds of ticks it put, on how many
// shards the last one was, and how many rounds failed.
type outcome struct {
	Rounds int `json:"rounds"`
	Shards int `json:"shards"`
	Failed int `json:"failed"`
}

// Invoke implements lambda.Handler. A round that fails, which the next one makes up for, is
// logged; the invocation fails if all of its rounds did.
func (h *handler) Invoke(ctx context.Context, _ []byte) ([]byte, error) {
	end := h.now().Add(minute - interval/2)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-margin).Before(end) {
		end = deadline.Add(-margin)
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var done outcome
	var last error
	for {
		n, err := h.tick(ctx)
		if err == nil {
			done.Rounds++
			done.Shards = n
		} else if ctx.Err() == nil || done.Rounds == 0 {
			done.Failed++
			last = err
			h.log.LogAttrs(ctx, slog.LevelWarn, "ticks not put", slog.String("error", err.Error()))
		}
		select {
		case <-ctx.Done():
			if done.Rounds == 0 {
				return nil, errors.Join(last, context.Cause(ctx))
			}
			h.log.LogAttrs(ctx, slog.LevelDebug, "ticked", slog.Int("rounds", done.Rounds), slog.Int("shards", done.Shards))
			return json.Marshal(done)
		case <-ticker.C:
		}
	}
}

// tick puts a tick on each shard that is open now, and returns the number of shards. It
// takes less than the interval: the next tick says as much as a late one.
func (h *handler) tick(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, interval)
	defer cancel()
	keys, err := h.shards.Open(ctx)
	if err != nil {
		return 0, err
	}
	records := make([]kinesis.Record, len(keys))
	for i, key := range keys {
		records[i] = kinesis.Record{PartitionKey: partitionKey, HashKey: key, Data: telemetry.Tick()}
	}
	return len(keys), h.stream.Put(ctx, records)
}

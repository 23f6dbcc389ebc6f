// Package stream decodes the batches of a Kinesis event source mapping and runs the
// consumers that keep state for each shard.
package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Source decodes an event source mapping's payloads and encodes the responses. It is
// not called concurrently.
type Source interface {
	// Records appends the payload's records to dst, in stream order.
	Records(dst []telemetry.Record, payload []byte) ([]telemetry.Record, error)
	// Messages appends the encoded batches in a record's data to dst: the data
	// itself, or the parts of an aggregated record. An error makes the record poison.
	Messages(dst [][]byte, data []byte) ([][]byte, error)
	// Response returns the response that asks for redelivery from the record with
	// that sequence number on, or for none if it is empty.
	Response(from telemetry.Sequence) []byte
}

// Decoder decodes one encoded batch; errors wrap telemetry.ErrInvalid.
type Decoder interface {
	Decode(message []byte, into *telemetry.Batch) error
}

var _ Decoder = (*telemetry.Decoder)(nil)

// Reader decodes the payloads of a consumer that keeps state for each shard, and skips
// what it cannot decode. It reuses its memory from one invocation to the next and
// is not safe for concurrent use.
type Reader struct {
	Source  Source
	Decoder Decoder
	Log     *slog.Logger

	records  []telemetry.Record
	messages [][]byte
	batch    telemetry.Batch
}

// Records returns the payload's records, in stream order; they are of one shard. They
// are valid until the next call.
func (r *Reader) Records(payload []byte) ([]telemetry.Record, error) {
	var err error
	if r.records, err = Records(r.Source, r.records[:0], payload); err != nil {
		return nil, err
	}
	for i := range r.records {
		if shard, other := r.records[0].Shard, r.records[i].Shard; other != shard {
			return nil, fmt.Errorf("%w: records of shards %q and %q in one payload", telemetry.ErrInvalid, shard, other)
		}
	}
	return r.records, nil
}

// Records appends the payload's records to dst, in stream order.
func Records(source Source, dst []telemetry.Record, payload []byte) ([]telemetry.Record, error) {
	out, err := source.Records(dst, payload)
	if err != nil {
		return dst, fmt.Errorf("read the event source's payload: %w", err)
	}
	return out, nil
}

// Batches calls yield for each batch of a record, with the time of its arrival: on the
// stream or, where that is not known, at the API; a tick has none. The batch is valid until yield
// returns. Batches logs what it cannot decode and returns the number of such parts.
func (r *Reader) Batches(
	ctx context.Context, record *telemetry.Record, yield func(b *telemetry.Batch, arrival telemetry.Micros),
) (poison int) {
	var err error
	if r.messages, err = r.Source.Messages(r.messages[:0], record.Data); err != nil {
		r.skip(ctx, record, err)
		poison++
	}
	for _, message := range r.messages {
		if telemetry.IsTick(message) {
			continue // the record's arrival is all that it says
		}
		if err := r.Decoder.Decode(message, &r.batch); err != nil {
			r.skip(ctx, record, err)
			poison++
			continue
		}
		arrival := telemetry.MicrosOf(record.Arrival)
		if record.Arrival.IsZero() {
			arrival = r.batch.Received
		}
		yield(&r.batch, arrival)
	}
	return poison
}

func (r *Reader) skip(ctx context.Context, record *telemetry.Record, reason error) {
	r.Log.LogAttrs(ctx, slog.LevelWarn, "record skipped", slog.String("shard", string(record.Shard)),
		slog.String("sequence", string(record.SequenceNumber)), slog.String("reason", reason.Error()))
}

// Done is the response when no record is to be delivered again.
func (r *Reader) Done() []byte { return r.Source.Response("") }

// LevelOf returns the log level for a failed invocation: a warning where redelivery may
// succeed, as a dependency was unavailable or another process had saved the state.
func LevelOf(err error) slog.Level {
	if errors.Is(err, telemetry.ErrUnavailable) || errors.Is(err, telemetry.ErrConflict) {
		return slog.LevelWarn
	}
	return slog.LevelError
}

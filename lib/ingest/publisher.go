package ingest

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// RecordBytes is the size limit of a record: one PUT payload unit of Kinesis, by which a
// stream is billed.
const RecordBytes = 25_000

// RecordPutter puts records on the stream.
type RecordPutter interface {
	// PutRecords returns nil once the stream has stored every record, all under
	// the one partition key. After an error some may not be stored; a retry of all
	// of them is safe. The error wraps telemetry.ErrUnavailable if a retry may
	// succeed. PutRecords does not use the records after it returns.
	PutRecords(ctx context.Context, partitionKey string, records [][]byte) error
}

// StreamPublisher is the Publisher that encodes a batch into records and puts them on the
// stream. The partition key is the gateway's name, so that all events of a gateway are on
// one shard. It is not safe for concurrent use.
type StreamPublisher struct {
	encoder *telemetry.Encoder
	putter  RecordPutter
	put     prometheus.Counter
	records [][]byte
}

var _ Publisher = (*StreamPublisher)(nil)

// NewStreamPublisher returns a StreamPublisher that compresses records by compression and
// registers its counter with metrics.
func NewStreamPublisher(putter RecordPutter, compression telemetry.Compression, metrics prometheus.Registerer) (*StreamPublisher, error) {
	encoder, err := telemetry.NewEncoder(compression)
	if err != nil {
		return nil, fmt.Errorf("stream publisher: %w", err)
	}
	put, err := newRecordCounter(metrics)
	if err != nil {
		return nil, err
	}
	return &StreamPublisher{encoder: encoder, putter: putter, put: put}, nil
}

// Publish implements Publisher.
func (p *StreamPublisher) Publish(ctx context.Context, batch *telemetry.Batch) error {
	p.records = p.records[:0]
	err := p.encoder.AppendRecords(batch, RecordBytes, func(record []byte) error {
		p.records = append(p.records, record) // memory of the encoder, valid until its next use
		return nil
	})
	if err != nil {
		return fmt.Errorf("encode %d events of gateway %q: %w", batch.Len(), batch.Gateway, err)
	}
	if err := p.putter.PutRecords(ctx, string(batch.Gateway), p.records); err != nil {
		return fmt.Errorf("put %d records of gateway %q: %w", len(p.records), batch.Gateway, err)
	}
	p.put.Add(float64(len(p.records)))
	return nil
}

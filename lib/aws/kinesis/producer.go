package kinesis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Limits of PutRecords. The service's reference (API_PutRecords, 2026) allows
// 10 MiB to a request and, on a stream whose maximum has been raised with
// UpdateMaxRecordSize, to a record; 1 MiB is every stream's default.
const (
	MaxCallRecords     = 500
	MaxCallBytes       = 10 << 20
	MaxPartitionKey    = 256 // Unicode code points
	DefaultRecordBytes = 1 << 20
	// DefaultCallBytes is the former limit of a request, which every implementation
	// of the API accepts; the retry of a smaller request is faster, too.
	DefaultCallBytes = 5 << 20
)

// Client is the part of the SDK's client that a Producer needs. It must not
// retry on its own; see NewClient.
type Client interface {
	PutRecords(context.Context, *kinesis.PutRecordsInput, ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error)
}

var _ Client = (*kinesis.Client)(nil)

// NewClient returns an SDK client without retries: a Producer retries the entries that
// failed, while the SDK would repeat whole calls, with entries that are stored already.
func NewClient(cfg aws.Config) *kinesis.Client {
	return kinesis.NewFromConfig(cfg, func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} })
}

// Record is a record to put on the stream. Its size is that of its data and its key.
type Record struct {
	// PartitionKey selects the shard: 1 to 256 code points.
	PartitionKey string
	// HashKey selects the shard instead, in decimal, unless it is empty.
	HashKey string
	Data    []byte
}

// Config configures a Producer. A zero number or duration means the default.
type Config struct {
	Client Client
	// Stream is the stream's name.
	Stream string
	// Now is the clock that context deadlines are compared with.
	Now func() time.Time
	// Rand returns a number in [0, 1), safely for concurrent use.
	Rand func() float64

	// BackoffBase and BackoffCap bound the wait before attempt n + 1, which is uniformly
	// random from 0 to min(cap, base·2ⁿ⁻¹) ("full jitter"). Default 50 ms and 2 s.
	BackoffBase, BackoffCap time.Duration
	// Margin is the time before the context's deadline that is left to the caller for its
	// response. Default 100 ms.
	Margin time.Duration
	// AttemptTimeout bounds one call, so that a connection that hangs does not use all
	// the time until the deadline. Default 5 s.
	AttemptTimeout time.Duration
	// MaxAttempts bounds the calls for one part of a Put. Default 10.
	MaxAttempts int
	// RecordBytes bounds one record, CallBytes one call. Default DefaultRecordBytes and DefaultCallBytes.
	RecordBytes, CallBytes int
}

// Producer puts records on one stream. It is safe for concurrent use.
type Producer struct{ cfg Config }

// NewProducer returns a Producer, or every value of cfg that is not valid.
func NewProducer(cfg Config) (*Producer, error) {
	cfg.BackoffBase = cmp.Or(cfg.BackoffBase, 50*time.Millisecond)
	cfg.BackoffCap = cmp.Or(cfg.BackoffCap, 2*time.Second)
	cfg.Margin = cmp.Or(cfg.Margin, 100*time.Millisecond)
	cfg.AttemptTimeout = cmp.Or(cfg.AttemptTimeout, 5*time.Second)
	cfg.MaxAttempts = cmp.Or(cfg.MaxAttempts, 10)
	cfg.RecordBytes = cmp.Or(cfg.RecordBytes, DefaultRecordBytes)
	cfg.CallBytes = cmp.Or(cfg.CallBytes, DefaultCallBytes)
	var problems []error
	if cfg.Stream == "" {
		problems = append(problems, errors.New("stream: empty"))
	}
	if cfg.CallBytes < cfg.RecordBytes || cfg.CallBytes > MaxCallBytes {
		problems = append(problems, fmt.Errorf("call bytes: want %d to %d, got %d", cfg.RecordBytes, MaxCallBytes, cfg.CallBytes))
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("kinesis producer: %w: %w", telemetry.ErrInvalid, errors.Join(problems...))
	}
	return &Producer{cfg: cfg}, nil
}

// Put puts the records and returns nil once the stream has stored all of them.
//
// If a record is too large, or its key is empty or too long, the error wraps
// telemetry.ErrInvalid, and nothing was put. Put retries records that the stream rejected
// and calls that failed for a transient reason until the context's deadline, less
// Config.Margin, or Config.MaxAttempts; then the error is a *PutError, which wraps
// telemetry.ErrUnavailable. Records that the stream acknowledged before that are stored,
// and a record whose response was lost may be. A retry of the same records is safe if the
// consumers tolerate duplicates. Any other error of the service (access denied, no such
// stream) is returned at once and wraps no sentinel: it is not caused by the input.
//
// Order: the stream returns records of one partition key in the order in which it stored
// them. Within one call that is nearly always the order of the slice, but the service does
// not guarantee it, and a record that is retried after a partial failure is stored after
// later ones of the same key. Consumers must order by event time.
//
// Put does not use the slice or the data after it returns.
func (p *Producer) Put(ctx context.Context, records []Record) error {
	entries, err := p.entries(records)
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-p.cfg.Margin))
		defer cancel()
	}
	for done := 0; done < len(entries); {
		n := p.callSize(entries[done:])
		if failed, err := p.putAll(ctx, entries[done:done+n]); err != nil {
			// The records of the calls that were not made have failed as well.
			return p.putError(err, failed+len(entries)-done-n, len(entries))
		}
		done += n
	}
	return nil
}

// entries validates the records and returns the SDK's form of them, which refers to the
// caller's slice.
func (p *Producer) entries(records []Record) ([]types.PutRecordsRequestEntry, error) {
	entries := make([]types.PutRecordsRequestEntry, len(records))
	for i := range records {
		r := &records[i]
		switch size := len(r.PartitionKey) + len(r.Data); {
		case r.PartitionKey == "":
			return nil, fmt.Errorf("put on %q: record %d: partition key: empty: %w", p.cfg.Stream, i, telemetry.ErrInvalid)
		case utf8.RuneCountInString(r.PartitionKey) > MaxPartitionKey:
			return nil, fmt.Errorf("put on %q: record %d: partition key: more than %d characters: %w",
				p.cfg.Stream, i, MaxPartitionKey, telemetry.ErrInvalid)
		case size > p.cfg.RecordBytes:
			return nil, fmt.Errorf("put on %q: record %d: %d bytes with its key, more than %d: %w",
				p.cfg.Stream, i, size, p.cfg.RecordBytes, telemetry.ErrInvalid)
		}
		entries[i] = types.PutRecordsRequestEntry{PartitionKey: &r.PartitionKey, Data: r.Data}
		if r.HashKey != "" {
			entries[i].ExplicitHashKey = &r.HashKey
		}
		if r.Data == nil {
			entries[i].Data = []byte{} // the SDK treats nil as a missing member
		}
	}
	return entries, nil
}

// callSize returns how many of the entries fit into one call.
func (p *Producer) callSize(entries []types.PutRecordsRequestEntry) int {
	size := 0
	for i, e := range entries {
		size += len(*e.PartitionKey) + len(e.Data)
		if i == MaxCallRecords || size > p.cfg.CallBytes {
			return i
		}
	}
	return len(entries)
}

// putAll puts the entries of one call and retries those that failed. It returns how many
// entries are possibly not stored, and why.
func (p *Producer) putAll(ctx context.Context, entries []types.PutRecordsRequestEntry) (int, error) {
	for attempt := 1; ; attempt++ {
		out, err := p.call(ctx, entries)
		if err == nil {
			entries, err = failedEntries(entries, out)
		}
		if err == nil {
			return 0, nil
		}
		kind := kindOf(err)
		if ctx.Err() == nil && kind == permanent {
			return len(entries), err
		}
		if ctx.Err() != nil || attempt == p.cfg.MaxAttempts || !p.wait(ctx, attempt) {
			return len(entries), err
		}
	}
}

func (p *Producer) call(ctx context.Context, entries []types.PutRecordsRequestEntry) (*kinesis.PutRecordsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.AttemptTimeout)
	defer cancel()
	return p.cfg.Client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &p.cfg.Stream, Records: entries})
}

// wait sleeps before the attempt after the given one. It returns false at once if the wait
// would end after the deadline.
func (p *Producer) wait(ctx context.Context, attempt int) bool {
	ceiling := p.cfg.BackoffCap
	if shift := attempt - 1; shift < 30 {
		ceiling = min(ceiling, p.cfg.BackoffBase<<shift)
	}
	d := time.Duration(p.cfg.Rand() * float64(ceiling))
	if deadline, ok := ctx.Deadline(); ok && d >= deadline.Sub(p.cfg.Now()) {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

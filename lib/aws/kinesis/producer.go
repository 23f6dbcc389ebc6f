package kinesis

import (
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
	// DefaultCallBytes is the older bound on a request, which every
	// implementation of the API accepts, and which a retry repeats sooner.
	DefaultCallBytes = 5 << 20
)

// Client is the part of the SDK's client that a Producer needs. It must not
// retry on its own; see NewClient.
type Client interface {
	PutRecords(context.Context, *kinesis.PutRecordsInput, ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error)
}

var _ Client = (*kinesis.Client)(nil)

// NewClient returns an SDK client that makes each call once: a Producer decides
// what is sent again, and the SDK's own retryer would repeat whole calls,
// entries that were stored among them.
func NewClient(cfg aws.Config) *kinesis.Client {
	return kinesis.NewFromConfig(cfg, func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} })
}

// Record is what a producer puts on the stream. Its size is that of its data and its key.
type Record struct {
	// PartitionKey decides the shard: 1 to 256 code points.
	PartitionKey string
	Data         []byte
}

// Config is a Producer's.
type Config struct {
	Client Client
	// Stream is the stream's name.
	Stream string
	// Now is the clock that context deadlines are compared with.
	Now func() time.Time
	// Rand returns a number in [0, 1), safely for concurrent use.
	Rand func() float64

	// BackoffBase and BackoffCap bound the wait before attempt n + 1, which is
	// drawn evenly from 0 to min(cap, base·2ⁿ) ("full jitter"). Default 50 ms and 2 s.
	BackoffBase, BackoffCap time.Duration
	// Margin of the context's deadline is left to the caller, for its answer. Default 100 ms.
	Margin time.Duration
	// AttemptTimeout bounds one call, so that a connection that hangs does not
	// use up the whole deadline. Default 5 s.
	AttemptTimeout time.Duration
	// MaxAttempts bounds the calls for one part of a Put. Default 10.
	MaxAttempts int
	// RecordBytes bounds one record, CallBytes one call. Default DefaultRecordBytes and DefaultCallBytes.
	RecordBytes, CallBytes int
}

// Producer puts records on one stream. It is safe for concurrent use.
type Producer struct{ cfg Config }

// NewProducer returns a Producer. The error names all that is missing in cfg.
func NewProducer(cfg Config) (*Producer, error) {
	var problems []error
	missing := func(is bool, name string) {
		if is {
			problems = append(problems, fmt.Errorf("%s: not set", name))
		}
	}
	missing(cfg.Client == nil, "client")
	missing(cfg.Stream == "", "stream")
	missing(cfg.Now == nil, "now")
	missing(cfg.Rand == nil, "rand")
	setDefault(&cfg.BackoffBase, 50*time.Millisecond)
	setDefault(&cfg.BackoffCap, 2*time.Second)
	setDefault(&cfg.Margin, 100*time.Millisecond)
	setDefault(&cfg.AttemptTimeout, 5*time.Second)
	setDefault(&cfg.MaxAttempts, 10)
	setDefault(&cfg.RecordBytes, DefaultRecordBytes)
	setDefault(&cfg.CallBytes, DefaultCallBytes)
	if cfg.CallBytes < cfg.RecordBytes || cfg.CallBytes > MaxCallBytes {
		problems = append(problems, fmt.Errorf("call bytes: %d: want %d to %d", cfg.CallBytes, cfg.RecordBytes, MaxCallBytes))
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("kinesis producer: %w: %w", telemetry.ErrInvalid, errors.Join(problems...))
	}
	return &Producer{cfg: cfg}, nil
}

func setDefault[T ~int | ~int64](v *T, fallback T) {
	if *v == 0 {
		*v = fallback
	}
}

// Put puts the records and returns nil when the stream has stored every one.
//
// A record that is too large, or whose key is empty or too long, is an error
// that wraps telemetry.ErrInvalid; then nothing was put. Records that the stream
// refused, and calls that failed for a reason that may pass, are repeated until
// the context's deadline, less Config.Margin, or Config.MaxAttempts; then the
// error is a *PutError, which wraps telemetry.ErrUnavailable. Records that the
// stream acknowledged before stay there, and one whose call failed on the way
// back may be there too. Putting the same records again is safe for a reader
// that tolerates duplicates. Any other refusal (access denied, no such stream)
// is returned at once, without a sentinel: no other input would mend it.
//
// Order: the stream keeps records of one partition key in the order in which it
// stored them. Within one call that is nearly always the order of the slice, but
// the service promises none, and a record that is repeated after a partial
// failure lands behind later ones of the same key. What reads the stream must
// order by its own clock.
//
// Put keeps neither the slice nor the data once it has returned.
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
			// What was not tried has failed as well.
			return p.giveUp(err, failed+len(entries)-done-n, len(entries))
		}
		done += n
	}
	return nil
}

// entries checks the records and returns them in the SDK's form, which refers to the caller's slice.
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
		if r.Data == nil {
			entries[i].Data = []byte{} // nil is a missing member to the SDK
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

// putAll puts what fits into one call and repeats what failed. It returns how
// many entries are not known to be stored, and why.
func (p *Producer) putAll(ctx context.Context, entries []types.PutRecordsRequestEntry) (int, error) {
	for attempt := 1; ; attempt++ {
		out, err := p.call(ctx, entries)
		if err == nil {
			entries, err = refused(entries, out)
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

// wait sleeps before the attempt after the given one. It returns false at once
// when the deadline would come first: a sleep into it serves nobody.
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

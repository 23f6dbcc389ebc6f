package eventsource

import (
	"errors"
	"fmt"
	"time"
)

// MappingID is the UUID of an event source mapping.
type MappingID string

// Position says where a mapping starts in a shard that has no checkpoint yet.
type Position string

// The starting positions of the API.
const (
	TrimHorizon Position = "TRIM_HORIZON"
	Latest      Position = "LATEST"
	AtTimestamp Position = "AT_TIMESTAMP"
)

// Infinite means "no limit" in MaxRetries and MaxRecordAge.
const Infinite = -1

// Limits of the API, and of the payload of an invocation.
const (
	maxBatchSize       = 10_000
	maxParallelization = 10
	maxWindow          = 300 * time.Second
	maxRetries         = 10_000
	maxRecordAge       = 604_800 * time.Second
	// payloadBytes is Lambda's limit of the payload of a synchronous invocation (6 MB).
	payloadBytes = 6 * 1024 * 1024
)

// ErrSettings says that a mapping's settings are outside of what AWS accepts, or ask
// for something that the emulator does not implement.
var ErrSettings = errors.New("invalid settings of event source mapping")

// Settings are those of an AWS::Lambda::EventSourceMapping on a Kinesis stream.
type Settings struct {
	ID          MappingID
	Stream      string // the stream's name
	StreamARN   string
	FunctionARN string
	RoleARN     string // invokeIdentityArn of each record
	Region      string

	BatchSize       int           // records of one invocation, 1 to 10,000
	Window          time.Duration // MaximumBatchingWindowInSeconds
	Parallelization int           // lanes per shard, 1 to 10
	BisectOnError   bool
	MaxRetries      int           // attempts after the first, or Infinite
	MaxRecordAge    time.Duration // or Infinite
	// ReportItemFailures is FunctionResponseTypes: ReportBatchItemFailures.
	ReportItemFailures bool
	StartingPosition   Position
	StartingTimestamp  time.Time // with AtTimestamp
	TumblingWindow     time.Duration
	// Filtered says that the mapping has FilterCriteria.
	Filtered bool

	Backoff Backoff
}

// Backoff limits the pauses between attempts; each is twice as long as the previous one.
type Backoff struct {
	Min, Max time.Duration
}

// DefaultBackoff is used where Settings.Backoff is zero.
func DefaultBackoff() Backoff { return Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second} }

// pause returns the pause after the n-th failure in a row, n ≥ 1.
func (b Backoff) pause(n int) time.Duration {
	d := b.Min
	for ; n > 1 && d < b.Max; n-- {
		d *= 2
	}
	return min(d, b.Max)
}

// Validate reports all problems of s; the error wraps ErrSettings.
func (s Settings) Validate() error {
	var problems []error
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf(format, args...))
	}
	if s.ID == "" || s.Stream == "" {
		problem("ID and Stream are required")
	}
	if s.BatchSize < 1 || s.BatchSize > maxBatchSize {
		problem("BatchSize %d is not between 1 and %d", s.BatchSize, maxBatchSize)
	}
	if s.Window < 0 || s.Window > maxWindow {
		problem("MaximumBatchingWindowInSeconds %v is not between 0 and %v", s.Window, maxWindow)
	}
	if s.Parallelization < 1 || s.Parallelization > maxParallelization {
		problem("ParallelizationFactor %d is not between 1 and %d", s.Parallelization, maxParallelization)
	}
	if s.MaxRetries < Infinite || s.MaxRetries > maxRetries {
		problem("MaximumRetryAttempts %d is not between -1 and %d", s.MaxRetries, maxRetries)
	}
	if s.MaxRecordAge != Infinite && (s.MaxRecordAge < time.Minute || s.MaxRecordAge > maxRecordAge) {
		problem("MaximumRecordAgeInSeconds %v is neither -1 nor between 1m and %v", s.MaxRecordAge, maxRecordAge)
	}
	switch s.StartingPosition {
	case TrimHorizon, Latest, AtTimestamp:
	default:
		problem("StartingPosition %q is not TRIM_HORIZON, LATEST or AT_TIMESTAMP", s.StartingPosition)
	}
	if s.TumblingWindow != 0 {
		problem("TumblingWindowInSeconds is not supported")
	}
	if s.Filtered {
		problem("FilterCriteria is not supported")
	}
	if s.Backoff.Min < 0 || s.Backoff.Max < s.Backoff.Min {
		problem("Backoff.Min %v is negative or above Backoff.Max %v", s.Backoff.Min, s.Backoff.Max)
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w %s: %w", ErrSettings, s.ID, errors.Join(problems...))
}

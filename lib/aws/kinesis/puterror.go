package kinesis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// PutError says that valid records were not put: a retry of the same Put may succeed. It
// wraps telemetry.ErrUnavailable and the last cause.
type PutError struct {
	Stream string
	// Failed of Total records are possibly not stored.
	Failed, Total int
	// Throttled: the last cause was the rate, not a failure.
	Throttled bool
	Err       error
}

// Error says how many of how many records failed, and the last cause.
func (e *PutError) Error() string {
	reason := "failing"
	if e.Throttled {
		reason = "throttled"
	}
	return fmt.Sprintf("put on %q: %d of %d records not put, %s: %v", e.Stream, e.Failed, e.Total, reason, e.Err)
}

// Unwrap returns telemetry.ErrUnavailable and the last cause.
func (e *PutError) Unwrap() []error { return []error{telemetry.ErrUnavailable, e.Err} }

// RetryAfter is how long to wait before the next Put: a shard's throughput is limited by
// the second, while a failure of the service usually lasts longer.
func (e *PutError) RetryAfter() time.Duration {
	if e.Throttled {
		return time.Second
	}
	return 5 * time.Second
}

// putError returns the error of Put for the last cause.
func (p *Producer) putError(err error, failed, total int) error {
	kind := kindOf(err)
	if kind == permanent {
		return fmt.Errorf("put on %q: %d of %d records not put: %w", p.cfg.Stream, failed, total, err)
	}
	return &PutError{Stream: p.cfg.Stream, Failed: failed, Total: total, Throttled: kind == throttled, Err: err}
}

// partialError is the error of a call that succeeded without storing all of its records.
type partialError struct {
	throttled, failed int
	last              string // code and message of the last record that failed
}

func (e *partialError) Error() string {
	return fmt.Sprintf("%d throttled, %d failed in the service, the last with %s", e.throttled, e.failed, e.last)
}

const codeThroughputExceeded = "ProvisionedThroughputExceededException"

// failedEntries returns the entries that the stream did not store, in order, in the memory
// of the slice, and an error if there are any.
func failedEntries(entries []types.PutRecordsRequestEntry, out *kinesis.PutRecordsOutput) ([]types.PutRecordsRequestEntry, error) {
	if len(out.Records) != len(entries) {
		// It is not known which of them are stored: retry all.
		return entries, fmt.Errorf("response has %d results for %d records", len(out.Records), len(entries))
	}
	left := entries[:0]
	var failure partialError
	for i, r := range out.Records {
		if r.ErrorCode == nil {
			continue
		}
		left = append(left, entries[i])
		if *r.ErrorCode == codeThroughputExceeded {
			failure.throttled++
		} else {
			failure.failed++
		}
		failure.last = *r.ErrorCode
		if r.ErrorMessage != nil {
			failure.last += ": " + *r.ErrorMessage
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	return left, &failure
}

type kind uint8

const (
	transient kind = iota // the network, 5xx, InternalFailure
	throttled
	permanent
)

// kindOf returns whether a retry of the call may succeed.
func kindOf(err error) kind {
	if failure, ok := errors.AsType[*partialError](err); ok {
		if failure.throttled > 0 {
			return throttled
		}
		return transient
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return transient
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case codeThroughputExceeded, "KMSThrottlingException", "LimitExceededException",
			"ThrottlingException", "Throttling", "RequestLimitExceeded", "SlowDown":
			return throttled
		case "InternalFailure", "InternalFailureException", "InternalServerError", "ServiceUnavailable", "RequestTimeout":
			return transient
		}
	}
	if _, ok := errors.AsType[*smithy.SerializationError](err); ok {
		return permanent
	}
	if _, ok := errors.AsType[smithy.InvalidParamsError](err); ok {
		return permanent
	}
	var response interface{ HTTPStatusCode() int }
	if !errors.As(err, &response) {
		if _, ok := errors.AsType[smithy.APIError](err); ok {
			return permanent // an error of the service that is not known to be transient
		}
		return transient // the network
	}
	switch code := response.HTTPStatusCode(); {
	case code == 429:
		return throttled
	case code >= 400 && code < 500:
		return permanent
	default:
		return transient
	}
}

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

// PutError says that records were not put although they are right: the same
// Put may succeed later. It wraps telemetry.ErrUnavailable and the last cause.
type PutError struct {
	Stream string
	// Failed of Total records are not known to be stored.
	Failed, Total int
	// Throttled: the last refusal was for the rate, not for a failure.
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

// RetryAfter is how long to wait before the next Put: a shard's throughput is
// counted by the second, a failure of the service tends to last longer.
func (e *PutError) RetryAfter() time.Duration {
	if e.Throttled {
		return time.Second
	}
	return 5 * time.Second
}

func (p *Producer) giveUp(err error, failed, total int) error {
	kind := kindOf(err)
	if kind == permanent {
		return fmt.Errorf("put on %q: %d of %d records not put: %w", p.cfg.Stream, failed, total, err)
	}
	return &PutError{Stream: p.cfg.Stream, Failed: failed, Total: total, Throttled: kind == throttled, Err: err}
}

// refusedError is a call that succeeded without storing all of its records.
type refusedError struct {
	throttled, failed int
	last              string // code and message of one refusal
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("%d throttled, %d failed inside the service, as %s", e.throttled, e.failed, e.last)
}

const codeThroughputExceeded = "ProvisionedThroughputExceededException"

// refused returns the entries that the stream did not store, in order, in the
// memory of the slice, and an error when there are any.
func refused(entries []types.PutRecordsRequestEntry, out *kinesis.PutRecordsOutput) ([]types.PutRecordsRequestEntry, error) {
	if len(out.Records) != len(entries) {
		// Nothing says which of them are stored: repeat them all.
		return entries, fmt.Errorf("answer has %d results for %d records", len(out.Records), len(entries))
	}
	left := entries[:0]
	var failure refusedError
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

// kindOf says whether the same call may succeed later.
func kindOf(err error) kind {
	if failure, ok := errors.AsType[*refusedError](err); ok {
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
			return permanent // an answer of the service that names no passing fault
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

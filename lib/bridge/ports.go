package bridge

import (
	"context"

	"github.com/insighthub/insighthub/lib/kpi"
)

// Receiver stores samples.
type Receiver interface {
	// Write writes samples of one window, each name and labels once. It returns
	// when all are durable or rejected for good, or with an error after which any
	// part may be durable and the samples from Written.Settled on are to be written
	// again. It may retry by itself until ctx ends. It does not retain the samples.
	Write(ctx context.Context, samples []kpi.Sample) (Written, error)
}

// Written is the outcome of a write.
type Written struct {
	Samples  int // that the receiver accepted
	Requests int
	Rejected []Rejection
	// Settled is the number of leading samples of the write that are durable or rejected, and
	// NotSent that of samples that an error left: neither. Without an error they are all and 0.
	Settled, NotSent int
}

// Rejection is samples of one series that the receiver rejected for good.
type Rejection struct {
	// Series is its name and labels, as the receiver writes them.
	Series, Reason string
	// Cause is the kind of the reason, one of few: a label of a metric.
	Cause   string
	Samples int
	// Duplicate: the receiver has a sample of that time or a newer one of the series, as after
	// a repeated write.
	Duplicate bool
}

// Rules reads the configuration of the machines.
type Rules interface {
	// Rules returns all rules in order of precedence: the first that selects a device
	// applies.
	Rules(ctx context.Context) ([]Rule, error)
}

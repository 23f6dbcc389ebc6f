package bridge

import (
	"context"

	"github.com/insighthub/insighthub/lib/kpi"
)

// Receiver keeps samples.
type Receiver interface {
	// Write writes samples of one window, each figure and labels once. It returns
	// when all are durable or refused for good, or with an error after which any
	// part may be durable, and the same samples are to be written again. It may
	// try again by itself for as long as ctx allows. It does not keep the samples.
	Write(ctx context.Context, samples []kpi.Sample) (Written, error)
}

// Written says what became of the samples of a write.
type Written struct {
	Samples  int // that the receiver took
	Requests int
	Rejected []Rejection
}

// Rejection is samples of one series that the receiver refused for good.
type Rejection struct {
	// Series names it as the receiver would.
	Series, Reason string
	Samples        int
	// Duplicate: the receiver says that it has this sample or a newer one of the
	// series, as after a repetition.
	Duplicate bool
}

// Rules is where the configuration of the machines is kept.
type Rules interface {
	// Rules returns all rules, the one that wins first.
	Rules(ctx context.Context) ([]Rule, error)
}

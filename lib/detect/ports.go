package detect

import (
	"context"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Anomalies stores what was found.
type Anomalies interface {
	// Add inserts anomalies; one that is stored already stays as it is. It returns when
	// all are durable or rejected for good, or with an error after which any part may
	// be durable, and the same are to be added again. It does not retain the slice.
	Add(ctx context.Context, found []directory.Anomaly) (Kept, error)
}

// Kept says what became of anomalies: those that are new, those that were there
// already, and those that will never be taken.
type Kept struct{ Added, Known, Refused int }

// Notifier publishes anomalies.
type Notifier interface {
	// Notify returns how many it has published; the error says why the others were not,
	// and they are not retried. It may publish the same one twice. It ends when ctx does.
	Notify(ctx context.Context, found []directory.Anomaly) (sent int, err error)
}

// Configuration is what operators say about alarms and machines.
type Configuration struct {
	// Rules are the alarm rules that are enabled.
	Rules []directory.AlarmRule
	// Machines says which metrics are not scored, the entry that wins first.
	Machines []Machine
}

// Machine describes the devices whose gateway and name match its patterns. A * in
// a pattern stands for any text, of any length.
type Machine struct {
	Gateway, Device string
	// Unscored are states and counters: what is anomalous about them no range of
	// values tells.
	Unscored []telemetry.MetricName
}

// Configurations is where the configuration is kept.
type Configurations interface {
	// Configuration returns all of it; what is wrong in parts is in the error, which
	// then wraps telemetry.ErrInvalid, and the other parts are returned beside it.
	Configuration(ctx context.Context) (Configuration, error)
}

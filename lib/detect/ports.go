package detect

import (
	"context"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Anomalies stores anomalies.
type Anomalies interface {
	// Add inserts anomalies; those that are stored already do not change. It returns
	// when each is durable or rejected permanently. After an error any part may be
	// durable, and the caller must retry all. It does not retain the slice.
	Add(ctx context.Context, found []directory.Anomaly) (AddResult, error)
	// End stores the ends of anomalies that Add has stored: EndedAt and EndReason of the
	// anomaly of that identity. One that has ended already does not change, but for that
	// of a late one, which may move to a later time. Otherwise as Add.
	End(ctx context.Context, ended []directory.Anomaly) error
}

// AddResult counts anomalies that were added, that were stored already, and that were
// rejected permanently.
type AddResult struct{ Added, Duplicates, Rejected int }

// Notifier publishes anomalies.
type Notifier interface {
	// Notify returns how many it has published; the error says why the others were not,
	// and the caller does not retry them. It may publish an anomaly twice. It returns when
	// ctx is done.
	Notify(ctx context.Context, found []directory.Anomaly) (sent int, err error)
}

// Configuration is the alarm rules and machines that operators configure.
type Configuration struct {
	// Rules are the alarm rules that are enabled.
	Rules []directory.AlarmRule
	// Machines says which metrics are not scored; the first entry that matches applies.
	Machines []Machine
}

// Machine describes the devices that it selects.
type Machine struct {
	Devices telemetry.DevicePattern
	// Unscored are states and counters, whose anomalies the range of their values does
	// not show.
	Unscored []telemetry.MetricName
}

// Configurations reads the configuration.
type Configurations interface {
	// Configuration returns all of it. If parts are not valid, it returns the other
	// parts and an error that wraps telemetry.ErrInvalid.
	Configuration(ctx context.Context) (Configuration, error)
}

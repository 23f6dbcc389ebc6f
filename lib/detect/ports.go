package detect

import (
	"context"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Record is one record of the stream as the event source delivered it.
type Record struct {
	Shard          shardstate.ShardID
	SequenceNumber shardstate.Sequence
	// Arrival is when the stream took the record; zero when that is not known.
	Arrival time.Time
	// Data is one encoded batch, or several in an aggregated record. It is valid
	// during the invocation.
	Data []byte
}

// Source is the form in which records come. It is not called concurrently.
type Source interface {
	// Records appends the payload's records to dst, in stream order.
	Records(dst []Record, payload []byte) ([]Record, error)
	// Messages appends the encoded batches in a record's data to dst: the data
	// itself, or the parts of an aggregated record. After an error the record is skipped.
	Messages(dst [][]byte, data []byte) ([][]byte, error)
	// Answer is the response that says that all records are done.
	Answer() []byte
}

// Decoder decodes one encoded batch; errors wrap telemetry.ErrInvalid.
type Decoder interface {
	Decode(message []byte, into *telemetry.Batch) error
}

var _ Decoder = (*telemetry.Decoder)(nil)

// States keeps the state of each shard.
type States interface {
	Load(ctx context.Context, shard shardstate.ShardID) (*shardstate.Lease[*State], error)
}

var _ States = (*shardstate.Store[*State])(nil)

// Anomalies keeps what was found.
type Anomalies interface {
	// Add keeps anomalies; one that is there already stays as it is. It returns when
	// all are durable or refused for good, or with an error after which any part may
	// be durable, and the same are to be added again. It does not keep the slice.
	Add(ctx context.Context, found []directory.Anomaly) (Kept, error)
}

// Kept says what became of anomalies: those that are new, those that were there
// already, and those that will never be taken.
type Kept struct{ Added, Known, Refused int }

// Notifier tells others of anomalies.
type Notifier interface {
	// Notify returns how many it has told of. What it has not, for which the error
	// says why, is not told again. It may tell of the same one twice. It ends when ctx
	// does.
	Notify(ctx context.Context, found []directory.Anomaly) (told int, err error)
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

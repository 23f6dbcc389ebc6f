package bench

import (
	"time"

	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/storelog"
)

// stored sums up the store function's log lines.
type stored struct {
	Events, Bytes                 int64
	Duplicates, Conflicts, Poison int64
	First, Last                   time.Time
	samples                       []drive.Sample
}

// latency is from the completion of a batch to the commit of its rows. All batches of an
// invocation count with the latency of the oldest: the result is an upper bound.
func (s *stored) latency() drive.Percentiles { return drive.PercentilesOf(s.samples) }

// readStored reads the lines from the given offset to the end of the log and
// returns the new offset.
func readStored(path string, offset int64, into *stored) (int64, error) {
	return storelog.Read(path, offset, func(l storelog.Line) {
		into.Events += int64(l.Events)
		into.Bytes += l.Bytes
		into.Duplicates += int64(l.Duplicates)
		into.Conflicts += int64(l.Conflicts)
		into.Poison += int64(l.Poison)
		into.Last = time.UnixMicro(l.Committed)
		if into.First.IsZero() {
			into.First = into.Last
		}
		into.samples = append(into.samples, drive.Sample{Latency: time.Duration(l.Committed-l.Oldest) * time.Microsecond, Weight: l.Events})
	})
}

package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/insighthub/insighthub/loadtest/drive"
)

// storedLine is the store function's log line of an invocation.
type storedLine struct {
	Msg        string `json:"msg"`
	Events     int    `json:"events"`
	Bytes      int64  `json:"bytes"` // of the records on the stream
	Duplicates int    `json:"duplicates"`
	Conflicts  int    `json:"conflicts"`
	Poison     int    `json:"poison"`
	Oldest     int64  `json:"oldest"`    // µs: the newest event of the invocation's oldest record
	Committed  int64  `json:"committed"` // µs: after COMMIT returned
}

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
	f, err := os.Open(path) //nolint:gosec // the stack's own log
	if errors.Is(err, os.ErrNotExist) {
		return offset, nil
	}
	if err != nil {
		return offset, err
	}
	defer f.Close() //nolint:errcheck // read only
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return offset, err
	}
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return offset, nil // an incomplete line is read next time
		}
		if err != nil {
			return offset, err
		}
		offset += int64(len(line))
		var l storedLine
		if err := json.Unmarshal(line, &l); err != nil || l.Msg != "stored" {
			continue
		}
		if l.Events == 0 {
			continue
		}
		if l.Committed == 0 || l.Oldest == 0 {
			return offset, fmt.Errorf("%s: a line without oldest or committed: %s", path, line)
		}
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
	}
}

// Package storelog reads the log of the store function, which has a line with the times of
// each invocation.
package storelog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Line is the log line of an invocation that stored events. Times are in µs since the epoch.
type Line struct {
	Msg        string `json:"msg"`
	Events     int    `json:"events"`
	Bytes      int64  `json:"bytes"` // of the records on the stream
	Duplicates int    `json:"duplicates"`
	Conflicts  int    `json:"conflicts"`
	Poison     int    `json:"poison"`
	Oldest     int64  `json:"oldest"`    // the newest event of the invocation's oldest record
	Received   int64  `json:"received"`  // when the API accepted the first batch; 0 if not known
	Arrived    int64  `json:"arrived"`   // of the oldest record on the stream, a whole millisecond; 0 if not known
	Taken      int64  `json:"taken"`     // start of the invocation
	Committed  int64  `json:"committed"` // after COMMIT returned
}

// Read calls yield for each line of an invocation with events, from the given offset to the
// end of the log, and returns the new offset. A log that does not exist yet is empty.
func Read(path string, offset int64, yield func(Line)) (int64, error) {
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
		var l Line
		if err := json.Unmarshal(line, &l); err != nil || l.Msg != "stored" || l.Events == 0 {
			continue
		}
		if l.Committed == 0 || l.Oldest == 0 {
			return offset, fmt.Errorf("%s: a line without oldest or committed: %s", path, line)
		}
		yield(l)
	}
}

package stack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/insighthub/insighthub/cdk/local/atomicfile"
	"github.com/insighthub/insighthub/cdk/local/eventsource"
	"github.com/insighthub/insighthub/cdk/local/kinesis"
)

// stateFile holds the checkpoints (a length in 8 bytes, JSON) and the stream's snapshot,
// in one file since a checkpoint belongs to one stream.
const stateFile = "stream.state"

// maxCheckpointBytes limits the effect of a damaged length.
const maxCheckpointBytes = 64 << 20

// restore reads the state of the last clean stop and removes it: after a crash it would
// be older than the database.
func restore(path string, stream *kinesis.Server, checkpoints *eventsource.Memory) error {
	file, err := os.Open(path) //nolint:gosec // the user's state folder
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("restore the stream: %w", err)
	}
	defer file.Close() //nolint:errcheck // read only
	if err := readState(bufio.NewReader(file), stream, checkpoints); err != nil {
		return fmt.Errorf("restore the stream from %s (remove it to start with an empty one): %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("restore the stream: %w", err)
	}
	return nil
}

func readState(r io.Reader, stream *kinesis.Server, checkpoints *eventsource.Memory) error {
	var length [8]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxCheckpointBytes {
		return fmt.Errorf("the checkpoints have %d bytes", n)
	}
	section := io.LimitReader(r, int64(n))
	if err := checkpoints.Restore(section); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, section); err != nil {
		return err
	}
	return stream.Restore(r)
}

// save writes the state for the next start.
func save(path string, stream *kinesis.Server, checkpoints *eventsource.Memory) error {
	err := atomicfile.Write(path, func(w io.Writer) error { return writeState(w, stream, checkpoints) })
	if err != nil {
		return fmt.Errorf("save the stream: %w", err)
	}
	return nil
}

func writeState(w io.Writer, stream *kinesis.Server, checkpoints *eventsource.Memory) error {
	var section bytes.Buffer
	if err := checkpoints.Snapshot(&section); err != nil {
		return err
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(section.Len()))); err != nil {
		return err
	}
	if _, err := section.WriteTo(w); err != nil {
		return err
	}
	return stream.Snapshot(w)
}

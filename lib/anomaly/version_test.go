package anomaly_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// stateful is a detector or a machine.
type stateful interface {
	Restore(state []byte) error
	AppendState(dst []byte) []byte
	Hash() uint64
}

// TestOlderStatesAreRestored restores states of each version from testdata/states: a state
// of an older release is restored, and then saved in the newest version.
func TestOlderStatesAreRestored(t *testing.T) {
	const strides, stridesAt = 4 * 8, 1 + 8*32
	for _, c := range []struct {
		file        string
		into, again stateful
		added       int // bytes of the newest version that are missing in the file
		hash        uint64
	}{
		{"detector-1.state", new(anomaly.Detector), new(anomaly.Detector), strides, 0x97042cd0b1a101e5},
		{"detector-2.state", new(anomaly.Detector), new(anomaly.Detector), 0, 0xef28a372cccb65bf},
		{"machine-1.state", new(anomaly.Machine), new(anomaly.Machine), 0, 0x7d390b8dce61a429},
		{"machine-2.state", new(anomaly.Machine), new(anomaly.Machine), 0, 0x7d390b8dce61a429},
	} {
		t.Run(c.file, func(t *testing.T) {
			old, err := os.ReadFile(filepath.Join("testdata", "states", c.file))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.into.Restore(old); err != nil || c.into.Hash() != c.hash {
				t.Errorf("got hash %#x and error %v, want hash %#x", c.into.Hash(), err, c.hash)
			}
			saved, end := c.into.AppendState(nil), len(old)-8
			want := slices.Clone(old[1:end])
			if c.added > 0 {
				want = slices.Insert(want, stridesAt-1, make([]byte, c.added)...)
			}
			if saved[0] != 2 || !bytes.Equal(saved[1:len(saved)-8], want) {
				t.Errorf("saved again: got version %d or other words, want version 2 and the same words", saved[0])
			}
			if err := c.again.Restore(saved); err != nil || c.again.Hash() != c.hash {
				t.Errorf("restore the state that was saved again: %v", err)
			}
			old[0] ^= 3 // the other version, whose checksum differs
			if err := c.again.Restore(old); err == nil {
				t.Error("restore with another version byte: got no error, want one")
			}
		})
	}
}

// TestDetectorsOfTheFirstVersionGoOn continues a state without strides.
func TestDetectorsOfTheFirstVersionGoOn(t *testing.T) {
	old, err := os.ReadFile(filepath.Join("testdata", "states", "detector-1.state"))
	if err != nil {
		t.Fatal(err)
	}
	var d anomaly.Detector
	if err := d.Restore(old); err != nil {
		t.Fatal(err)
	}
	micros := int64(3000) * 300_000_000
	if _, anomalous := d.Push(micros, 2000); anomalous {
		t.Error("a usual value is anomalous")
	}
	if score, anomalous := d.Push(micros+300_000_000, 9000); !anomalous || score < 0.9 {
		t.Errorf("twice the greatest value scores %v", score)
	}
}

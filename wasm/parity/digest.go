package parity

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// Stride is the number of samples for each line of a digest.
const Stride = 1000

// scorer is a detector or a machine on any host.
type scorer interface {
	// push scores the next samples; values holds all sensors of each.
	push(micros []int64, values, scores []float64, flags []uint8) error
	// state returns the hash of the state and the saved state.
	state() (hash uint64, saved []byte, err error)
}

// AppendDigest scores the series in this process and appends the lines of its digest.
func AppendDigest(dst []byte, s *Series) ([]byte, error) {
	by, err := newScorer(s.Sensors)
	if err != nil {
		return nil, fmt.Errorf("series %s: %w", s.Name, err)
	}
	return appendDigest(dst, s, by)
}

func newScorer(sensors int) (scorer, error) {
	if sensors == 1 {
		return &detector{}, nil
	}
	m := &machine{sensors: sensors}
	return m, m.machine.Reset(sensors)
}

func appendDigest(dst []byte, s *Series, by scorer) ([]byte, error) {
	var scores [Stride]float64
	var flags [Stride]uint8
	for at := 0; at < len(s.Micros); at += Stride {
		end := min(at+Stride, len(s.Micros))
		n := end - at
		err := by.push(s.Micros[at:end], s.Values[at*s.Sensors:end*s.Sensors], scores[:n], flags[:n])
		if err != nil {
			return nil, fmt.Errorf("series %s at %d: %w", s.Name, at, err)
		}
		hash, saved, err := by.state()
		if err != nil {
			return nil, fmt.Errorf("series %s at %d: %w", s.Name, end, err)
		}
		var bits []byte
		for _, score := range scores[:n] {
			bits = binary.LittleEndian.AppendUint64(bits, math.Float64bits(score))
		}
		dst = fmt.Appendf(dst, "%s %d %s %016x %s\n", s.Name, end, short(append(bits, flags[:n]...)), hash, short(saved))
	}
	return dst, nil
}

func short(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

type detector struct{ detector anomaly.Detector }

func (d *detector) push(micros []int64, values, scores []float64, flags []uint8) error {
	d.detector.PushBlock(micros, values, scores, flags)
	return nil
}

func (d *detector) state() (uint64, []byte, error) {
	return d.detector.Hash(), d.detector.AppendState(nil), nil
}

type machine struct {
	sensors int
	machine anomaly.Machine
}

func (m *machine) push(micros []int64, values, scores []float64, flags []uint8) error {
	for i, t := range micros {
		score, anomalous := m.machine.Push(t, values[i*m.sensors:(i+1)*m.sensors])
		scores[i], flags[i] = score, 0
		if anomalous {
			flags[i] = 1
		}
	}
	return nil
}

func (m *machine) state() (uint64, []byte, error) {
	return m.machine.Hash(), m.machine.AppendState(nil), nil
}

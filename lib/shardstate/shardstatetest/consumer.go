package shardstatetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/insighthub/insighthub/lib/shardstate"
)

// The reference consumer sums values in windows of event time, which close when
// the shard's arrival clock is the lateness after their end.
const (
	windowLength = 1000 // ms
	lateness     = 500
)

// sums is the consumer's state.
type sums struct {
	Clock int64
	Keys  map[string]*keySums
}

type keySums struct {
	Count, Total int64
	Chain        uint64 // depends on the order of all values
	Late         int64
	Open         map[int64]int64 // by the window's start
}

func (k *keySums) add(value int64) {
	k.Count++
	k.Total += value
	k.Chain = k.Chain*1_099_511_628_211 + uint64(value)
}

// target is what an effect sets: the window of a key.
type target struct {
	key    string
	window int64
}

// effect sets the sum of a closed window.
type effect struct {
	target

	sum int64
}

// fold folds a record and returns its effects.
func (s *sums) fold(r record) []effect {
	k := s.Keys[r.key]
	if k == nil {
		k = &keySums{Open: make(map[int64]int64)}
		s.Keys[r.key] = k
	}
	k.add(r.value)
	s.Clock = max(s.Clock, r.arrival)
	if window := r.at - r.at%windowLength; s.passed(window) {
		k.Late += r.value
	} else {
		k.Open[window] += r.value
	}
	return s.close()
}

func (s *sums) passed(window int64) bool { return window+windowLength+lateness <= s.Clock }

// close removes the windows that the clock has passed and returns their effects.
func (s *sums) close() []effect {
	var out []effect
	for _, key := range slices.Sorted(maps.Keys(s.Keys)) {
		k := s.Keys[key]
		for _, window := range slices.Sorted(maps.Keys(k.Open)) {
			if s.passed(window) {
				out = append(out, effect{target{key, window}, k.Open[window]})
				delete(k.Open, window)
			}
		}
	}
	return out
}

// codec encodes the state as JSON, with sorted members.
type codec struct{}

var _ shardstate.Codec[*sums] = codec{}

func (codec) Append(dst []byte, s *sums) ([]byte, error) {
	b, err := json.Marshal(s)
	return append(dst, b...), err
}

func (codec) Decode(encoded []byte) (*sums, error) {
	s := &sums{}
	return s, json.Unmarshal(encoded, s)
}

func (codec) Inherit(shard shardstate.Shard, parents []shardstate.Parent[*sums]) (*sums, error) {
	s := &sums{Keys: make(map[string]*keySums)}
	for _, p := range parents {
		s.Clock = max(s.Clock, p.State.Clock)
		for key, k := range p.State.Keys {
			if !shard.Hashes.Contains(key) {
				continue
			}
			if s.Keys[key] != nil {
				return nil, fmt.Errorf("%s is in both parents of %s", key, shard.ID)
			}
			s.Keys[key] = k
		}
	}
	return s, nil
}

// sink stores the values that effects set; repeating an effect does not change it.
type sink struct {
	values   map[target]int64
	conflict error // two effects that set different values
}

func (s *sink) apply(e effect) {
	if was, ok := s.values[e.target]; ok && was != e.sum && s.conflict == nil {
		s.conflict = fmt.Errorf("window %d of %s was set to %d and then to %d", e.window, e.key, was, e.sum)
	}
	s.values[e.target] = e.sum
}

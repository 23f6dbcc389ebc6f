package shardstatetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/insighthub/insighthub/lib/shardstate"
)

// The reference consumer sums values in windows of event time, which close when
// the shard's arrival clock has passed their end by the lateness.
const (
	windowLength = 1000 // ms
	lateness     = 500
)

// sums is its state.
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

// place is where an effect goes: the window of a key.
type place struct {
	key    string
	window int64
}

// effect puts a closed window's sum in its place.
type effect struct {
	place

	sum int64
}

// fold is one step of the consumer.
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

// close takes out the windows that the clock has passed.
func (s *sums) close() []effect {
	var out []effect
	for _, key := range slices.Sorted(maps.Keys(s.Keys)) {
		k := s.Keys[key]
		for _, window := range slices.Sorted(maps.Keys(k.Open)) {
			if s.passed(window) {
				out = append(out, effect{place{key, window}, k.Open[window]})
				delete(k.Open, window)
			}
		}
	}
	return out
}

// codec writes the state as JSON, whose members are sorted.
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

// sink is what the effects change. It stays as it is when one comes again.
type sink struct {
	values        map[place]int64
	contradiction error
}

func (s *sink) apply(e effect) {
	if was, ok := s.values[e.place]; ok && was != e.sum && s.contradiction == nil {
		s.contradiction = fmt.Errorf("window %d of %s is %d and then %d", e.window, e.key, was, e.sum)
	}
	s.values[e.place] = e.sum
}

package bridge

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// State is the bridge's state of a shard.
type State struct {
	shard *kpi.Shard
	// inherited are samples of windows that closed when the clocks of a merged
	// shard's parents were advanced to the same time. The first invocation writes
	// them before it saves the state, so none are ever saved.
	inherited []kpi.Sample
}

// ConsumerName returns the name under which states with windows of that length are
// stored. A state can be read only with the window length that it was written with,
// so each length has states of its own.
func ConsumerName(window time.Duration) string {
	return fmt.Sprintf("bridge-%ds", int(window.Seconds()))
}

// Codec encodes and decodes states and creates those of new shards. The partition
// key of a gateway's records must be its name: it decides which gateways a shard
// inherits after a split.
type Codec struct{ config kpi.Config }

var _ shardstate.Codec[*State] = (*Codec)(nil)

// NewCodec returns the codec of states that reduce as config says. A state can be
// read only with the window length that it was written with. The error wraps
// telemetry.ErrInvalid.
func NewCodec(config kpi.Config) (*Codec, error) {
	if _, err := kpi.NewShard(config); err != nil {
		return nil, err
	}
	return &Codec{config: config}, nil
}

// Append appends the encoded state to dst.
func (c *Codec) Append(dst []byte, s *State) ([]byte, error) {
	if len(s.inherited) > 0 {
		return nil, fmt.Errorf("%w: inherited samples were not written", telemetry.ErrInvalid)
	}
	return s.shard.AppendBinary(dst), nil
}

// Decode is the inverse of Append.
func (c *Codec) Decode(encoded []byte) (*State, error) {
	shard, err := kpi.NewShard(c.config)
	if err != nil {
		return nil, err
	}
	if err := shard.Decode(encoded); err != nil {
		return nil, err
	}
	return &State{shard: shard}, nil
}

// Inherit returns a state with the parents' gateways that are in the shard's range.
func (c *Codec) Inherit(shard shardstate.Shard, parents []shardstate.Parent[*State]) (*State, error) {
	merged, err := kpi.NewShard(c.config)
	if err != nil {
		return nil, err
	}
	s := &State{shard: merged}
	// Each parent's clock is its last arrival. All are advanced to the latest, which
	// closes the windows that the parent's next record would have closed.
	var latest telemetry.Micros
	for _, p := range parents {
		clock, _ := p.State.shard.Clock()
		latest = max(latest, clock)
	}
	for _, p := range parents {
		own := p.State.shard
		own.Retain(func(g telemetry.GatewayID) bool { return shard.Hashes.Contains(string(g)) })
		for i := range p.State.inherited {
			if shard.Hashes.Contains(string(p.State.inherited[i].Gateway)) {
				s.inherited = append(s.inherited, p.State.inherited[i])
			}
		}
		if _, started := own.Clock(); started {
			own.Advance(latest)
			own.EmitClosed(func(sample *kpi.Sample) { s.inherited = append(s.inherited, clone(sample)) })
		}
		if err := s.shard.Merge(own); err != nil {
			return nil, fmt.Errorf("state of %s: %w", p.Shard, err)
		}
	}
	slices.SortStableFunc(s.inherited, func(a, b kpi.Sample) int { return cmp.Compare(a.Time, b.Time) })
	return s, nil
}

// clone returns a copy of a sample that stays valid after the callback that received it.
func clone(sample *kpi.Sample) kpi.Sample {
	out := *sample
	if sample.Lags != nil {
		lags := *sample.Lags
		out.Lags = &lags
	}
	return out
}

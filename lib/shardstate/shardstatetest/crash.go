package shardstatetest

import (
	"context"
	"fmt"

	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Crashing is Memory as seen by a process that crashes at its next put: before it is
// applied, or after. Crashed then fails every operation, until a test resets it.
type Crashing struct {
	Memory

	Before, After, Crashed bool
}

var _ shardstate.Objects = (*Crashing)(nil)

var errCrashed = fmt.Errorf("%w: the process has crashed", telemetry.ErrUnavailable)

// GetTagged implements shardstate.Objects.
func (c *Crashing) GetTagged(ctx context.Context, key, known string) (body []byte, etag string, err error) {
	if c.Crashed {
		return nil, "", errCrashed
	}
	return c.Memory.GetTagged(ctx, key, known)
}

// PutIf implements shardstate.Objects.
func (c *Crashing) PutIf(ctx context.Context, key string, body []byte, etag string) (string, error) {
	if c.Before || c.Crashed {
		c.Crashed = true
		return "", errCrashed
	}
	etag, err := c.Memory.PutIf(ctx, key, body, etag)
	if c.After {
		c.Crashed = true
		return "", errCrashed
	}
	return etag, err
}

// Lineage is shardstate.Lineage: the parents of each shard. The shards "low" and "high"
// have half of the hash range each, and every other shard has all of it. MD5 of "a" is
// in the low half, that of "b" in the high one.
type Lineage map[string][]string

var _ shardstate.Lineage = Lineage(nil)

// Shard implements shardstate.Lineage.
func (l Lineage) Shard(_ context.Context, id string) (parents []string, firstHash, lastHash string, err error) {
	const low, high, last = "170141183460469231731687303715884105727", "170141183460469231731687303715884105728",
		"340282366920938463463374607431768211455"
	switch id {
	case "low":
		return l[id], "0", low, nil
	case "high":
		return l[id], high, last, nil
	}
	return l[id], "0", last, nil
}

package shardstatetest

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/shardstate"
)

func TestMemory(t *testing.T) {
	Run(t, func(*testing.T) shardstate.Objects { return &Memory{} })
}

func TestRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		choose := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
		if err := Random(context.Background(), &Memory{}, choose("length", 200), choose); err != nil {
			t.Fatal(err)
		}
	})
}

// TestSeeds runs schedules longer than those of rapid.
func TestSeeds(t *testing.T) {
	for seed := range uint64(250) {
		if err := Random(t.Context(), &Memory{}, 400, Seeded(seed)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// unconditional accepts every put, as a store without conditional writes would.
type unconditional struct{ Memory }

func (c *unconditional) PutIf(ctx context.Context, key string, body []byte, _ string) (string, error) {
	_, etag, err := c.GetTagged(ctx, key, "")
	if err != nil {
		etag = ""
	}
	return c.Memory.PutIf(ctx, key, body, etag)
}

// TestSuiteFindsFaults runs random schedules over deliberate faults.
func TestSuiteFindsFaults(t *testing.T) {
	for name, broken := range map[string]struct {
		objects func() shardstate.Objects
		mode    mode
	}{
		"puts without conditions":  {func() shardstate.Objects { return &unconditional{} }, mode{}},
		"saved before the effects": {func() shardstate.Objects { return &Memory{} }, mode{saveFirst: true}},
		"effects of a state that was not confirmed": {
			func() shardstate.Objects { return &Memory{} }, mode{recall: true, unconfirmed: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			found := 0
			for seed := range uint64(50) {
				if err := random(t.Context(), broken.objects(), broken.mode, 400, Seeded(seed)); err != nil {
					found++
				}
			}
			t.Logf("found by %d of 50 schedules", found)
			if found < 5 {
				t.Errorf("found by %d of 50 schedules, want at least 5", found)
			}
		})
	}
}

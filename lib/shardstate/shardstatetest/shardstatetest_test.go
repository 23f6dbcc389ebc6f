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

// TestSeeds goes deeper than rapid's short schedules.
func TestSeeds(t *testing.T) {
	for seed := range uint64(250) {
		if err := Random(t.Context(), &Memory{}, 400, Seeded(seed)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// careless takes every put, as a store without conditions would.
type careless struct{ Memory }

func (c *careless) PutIf(ctx context.Context, key string, body []byte, _ string) (string, error) {
	_, etag, err := c.GetTagged(ctx, key, "")
	if err != nil {
		etag = ""
	}
	return c.Memory.PutIf(ctx, key, body, etag)
}

// TestSuiteFindsFaults runs random schedules over what is broken on purpose.
func TestSuiteFindsFaults(t *testing.T) {
	for name, broken := range map[string]func() (*world, error){
		"puts without conditions": func() (*world, error) { return newWorld(&careless{}) },
		"saved before the effects": func() (*world, error) {
			w, err := newWorld(&Memory{})
			if err == nil {
				w.saveFirst = true
			}
			return w, err
		},
		"effects of a state that nobody has confirmed": func() (*world, error) {
			w, err := newWorld(&Memory{})
			if err == nil {
				w.hasty = true
			}
			return w, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			found := 0
			for seed := range uint64(50) {
				w, err := broken()
				if err != nil {
					t.Fatal(err)
				}
				if err := w.random(t.Context(), 400, Seeded(seed)); err != nil {
					found++
				}
			}
			t.Logf("found by %d of 50 schedules", found)
			if found < 5 {
				t.Errorf("found by %d of 50 schedules", found)
			}
		})
	}
}

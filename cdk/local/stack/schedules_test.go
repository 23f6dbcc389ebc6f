package stack

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insighthub/insighthub/cdk/local/template"
)

func TestEvery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start, ended := time.Now(), make(chan struct{})
		var at []time.Duration
		go func() {
			defer close(ended)
			every(ctx, time.Hour, false, func() {
				at = append(at, time.Since(start))
				if len(at) == 2 {
					time.Sleep(150 * time.Minute) // two periods pass
				}
			})
		}()
		time.Sleep(5*time.Hour + time.Minute)
		cancel()
		<-ended
		// The third is late, the periods during the second count as one, and the phase stays.
		want := []time.Duration{time.Hour, 2 * time.Hour, 4*time.Hour + 30*time.Minute, 5 * time.Hour}
		if len(at) != len(want) {
			t.Fatalf("got calls after %v, want %v", at, want)
		}
		for i := range want {
			if at[i] != want[i] {
				t.Errorf("call %d: got after %v, want %v", i, at[i], want[i])
			}
		}
	})
}

// TestEveryAtOnce begins at once, and keeps the phase although the call takes nearly a period.
func TestEveryAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start, ended := time.Now(), make(chan struct{})
		var at []time.Duration
		go func() {
			defer close(ended)
			every(ctx, time.Minute, true, func() {
				at = append(at, time.Since(start))
				time.Sleep(55 * time.Second)
			})
		}()
		time.Sleep(130 * time.Second)
		cancel()
		<-ended
		if want := []time.Duration{0, time.Minute, 2 * time.Minute}; !slices.Equal(at, want) {
			t.Errorf("got calls after %v, want %v", at, want)
		}
	})
}

func TestScheduledEvent(t *testing.T) {
	t.Parallel()
	planned := template.Schedule{ARN: "arn:aws:events:r:a:rule/x"}
	raw, err := scheduledEvent(planned, "a", "r", time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	var event struct {
		Time      time.Time `json:"time"`
		Source    string    `json:"source"`
		Resources []string  `json:"resources"`
	}
	if err := json.Unmarshal(raw, &event); err != nil {
		t.Fatal(err)
	}
	if event.Time.Unix() != 1_700_000_000 || event.Source != "aws.events" || event.Resources[0] != planned.ARN {
		t.Errorf("got %s", raw)
	}
	planned.Input = `{"full":true}`
	if raw, err = scheduledEvent(planned, "a", "r", time.Unix(0, 0)); err != nil || string(raw) != planned.Input {
		t.Errorf("with an input: got %s, %v", raw, err)
	}
}

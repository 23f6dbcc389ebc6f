package relay_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/redis/redistest"
	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/signaling/hub"
	"github.com/insighthub/insighthub/signaling/relay"
	"github.com/insighthub/insighthub/signaling/relay/relaytest"
)

func memory(t *testing.T, tasks []hub.Events) []hub.Relay {
	t.Helper()
	r, err := relay.New(relay.Config{Events: tasks[0], Task: "only"})
	if err != nil {
		t.Fatal(err)
	}
	return []hub.Relay{r}
}

func TestMemory(t *testing.T) {
	relaytest.Run(t, relaytest.Fixture{Tasks: 1, Connect: memory})
}

// overRedis connects tasks with short times.
func overRedis(config relay.Redis) func(*testing.T, []hub.Events) []hub.Relay {
	return func(t *testing.T, tasks []hub.Events) []hub.Relay {
		t.Helper()
		var out []hub.Relay
		for i, events := range tasks {
			name := fmt.Sprintf("%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), i)
			r, err := relay.New(relay.Config{Events: events, Task: name, Redis: &config})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := r.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			eventually.True(t, "the relay is connected", r.Up)
			out = append(out, r)
		}
		return out
	}
}

// Each test of the suite has rooms of the same names, so each has an empty server.
func fresh(server *redistest.Server, config relay.Redis) relaytest.Fixture {
	return relaytest.Fixture{Tasks: 3, Connect: func(t *testing.T, tasks []hub.Events) []hub.Relay {
		t.Helper()
		if got := server.Command("FLUSHALL"); got != "+OK" {
			t.Fatalf("FLUSHALL: %s", got)
		}
		return overRedis(config)(t, tasks)
	}}
}

func TestRedis(t *testing.T) {
	server := redistest.Start(t)
	relaytest.Run(t, fresh(server, relay.Redis{URL: server.URL(), TaskTTL: time.Second, Heartbeat: 100 * time.Millisecond}))
}

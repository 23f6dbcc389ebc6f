package namelist

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

type source map[telemetry.GatewayID]directory.CrowdedNames

func (s source) CrowdedNames(_ context.Context, gateway telemetry.GatewayID) (directory.CrowdedNames, error) {
	return s[gateway], nil
}

func (s source) CrowdedGateways(context.Context) (all []telemetry.GatewayID, err error) {
	for gateway := range s {
		all = append(all, gateway)
	}
	return all, nil
}

type bucket struct {
	objects map[string][]byte
	err     error
}

func (b *bucket) Put(_ context.Context, key string, body []byte, _ string) error {
	b.objects[key] = body
	return b.err
}

func (b *bucket) Get(_ context.Context, key string) ([]byte, error) {
	body, ok := b.objects[key]
	if !ok {
		return nil, telemetry.ErrNotFound
	}
	return body, b.err
}

func TestLists(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	names := directory.CrowdedNames{Metrics: []telemetry.MetricName{"a", "größe"}}
	from, store := source{"gw/../1": names, "gw-2": {Devices: []telemetry.DeviceName{"d"}}}, &bucket{objects: map[string][]byte{}}
	publisher, lists := Publisher{from, store, clock}, Lists{store, clock}
	expect := func(gateway telemetry.GatewayID, want directory.CrowdedNames) {
		t.Helper()
		got, err := lists.Crowded(t.Context(), gateway)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", gateway, err, diff)
		}
	}
	expect("gw/../1", directory.CrowdedNames{})
	if n, err := publisher.Refresh(t.Context()); n != 2 || err != nil {
		t.Fatalf("got %d, %v, want 2 lists", n, err)
	}
	expect("gw/../1", names)
	expect("gw-2", directory.CrowdedNames{Devices: []telemetry.DeviceName{"d"}})
	expect("gw-3", directory.CrowdedNames{})
	// Room was made.
	delete(from, "gw-2")
	if err := publisher.Publish(t.Context(), "gw-2"); err != nil {
		t.Fatal(err)
	}
	expect("gw-2", directory.CrowdedNames{})
	// A list that nobody writes any more does no harm.
	now = now.Add(Lifetime + 1)
	expect("gw/../1", directory.CrowdedNames{})
	store.err = errors.New("unavailable")
	if _, err := lists.Crowded(t.Context(), "gw/../1"); !errors.Is(err, store.err) {
		t.Errorf("got %v, want the store's error", err)
	}
}

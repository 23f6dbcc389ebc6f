package timescale

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

// seeded is the row that the migration inserts.
func seeded() KPIConfig {
	return KPIConfig{
		GatewayPattern: "*", DevicePattern: "*", StateMetric: "state", CountMetric: "cycle_count", GoodMetric: "good_count",
		States:     map[int]KPIState{0: {Element: "production"}, 1: {Element: "idle"}, 2: {Element: "setup"}, 3: {"down", "fault"}},
		IdealCycle: 2 * time.Second, StaleAfter: time.Minute,
	}
}

func TestKPIConfigs(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			got, err := pool.KPIConfigs(t.Context())
			if diff := cmp.Diff([]KPIConfig{seeded()}, got); diff != "" || err != nil {
				t.Fatalf("seed differs, %v (-want +got):\n%s", err, diff)
			}
			execute(t, pool, `INSERT INTO device_kpi 
				(gateway_pattern, device_pattern, priority, state_metric, states, ideal_cycle_seconds,
				stale_after_seconds, planned) VALUES
				('gw-1', 'press-*', 100, 'mode', '{"-1": {"element": "not_planned"}}', 0.25, 10, '{"tue": [["06:00", "14:00"]],
					"mon": [["22:00", "24:00"], ["00:00", "06:30"]]}'),
				('gw-1', 'press-12', 100, NULL, '{}', 0, 60, NULL),
				('gw-2', '*', 500, NULL, '{}', 0, 60, NULL)`)
			got, err = pool.KPIConfigs(t.Context())
			want := []KPIConfig{
				{GatewayPattern: "gw-2", DevicePattern: "*", States: map[int]KPIState{}, StaleAfter: time.Minute},
				{GatewayPattern: "gw-1", DevicePattern: "press-12", States: map[int]KPIState{}, StaleAfter: time.Minute},
				{
					GatewayPattern: "gw-1", DevicePattern: "press-*", StateMetric: "mode",
					States:     map[int]KPIState{-1: {Element: "not_planned"}},
					IdealCycle: 250 * time.Millisecond, StaleAfter: 10 * time.Second,
					Planned: []KPIShift{
						{0, 6*time.Hour + 30*time.Minute}, {22 * time.Hour, 24 * time.Hour}, {30 * time.Hour, 38 * time.Hour},
					},
				},
				seeded(),
			}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestKPIConfigsLeavesOutInvalidRows(t *testing.T) {
	pool := migrated(t, FlavourPlain)
	execute(t, pool, `INSERT INTO device_kpi (gateway_pattern, states, planned) VALUES
		('a', '{"1.5": {"element": "idle"}}', NULL), ('b', '{"1": {"element": "asleep"}}', NULL), ('c', '{"1": 7}', NULL),
		('d', '{}', '{"someday": []}'), ('e', '{}', '{"mon": [["6:00", "14:00"]]}'), ('f', '{}', '{"mon": [["14:00", "06:00"]]}'),
		('g', '{}', '{"mon": [["23:00", "24:01"]]}'), ('h', '{}', '{"mon": [["23:00", "23:60"]]}')`)
	got, err := pool.KPIConfigs(t.Context())
	if !errors.Is(err, telemetry.ErrInvalid) || len(got) != 1 {
		t.Fatalf("got %d rows, %v; want 1 and ErrInvalid", len(got), err)
	}
	for gateway := range strings.SplitSeq("abcdefgh", "") {
		if !strings.Contains(err.Error(), `row "`+gateway+`"`) {
			t.Errorf("got error %v, want it to name row %s", err, gateway)
		}
	}
	for _, statement := range []string{
		`INSERT INTO device_kpi (gateway_pattern) VALUES ('')`,
		`INSERT INTO device_kpi (gateway_pattern, states) VALUES ('x', '[]')`,
		`INSERT INTO device_kpi (gateway_pattern, planned) VALUES ('x', '"always"')`,
		`INSERT INTO device_kpi (gateway_pattern, ideal_cycle_seconds) VALUES ('x', -1)`,
		`INSERT INTO device_kpi (gateway_pattern, ideal_cycle_seconds) VALUES ('x', 'NaN')`,
		`INSERT INTO device_kpi (gateway_pattern, stale_after_seconds) VALUES ('x', 0)`,
		`INSERT INTO device_kpi (gateway_pattern) VALUES ('*')`,
	} {
		if _, err := pool.pgx.Exec(t.Context(), statement); err == nil {
			t.Errorf("%s: got no error, want a constraint violation", statement)
		}
	}
}

func TestKPIConfigsWithoutDatabase(t *testing.T) {
	pool, err := Open(t.Context(), PoolConfig{DSN: "postgres://u@127.0.0.1:1/d", MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.KPIConfigs(t.Context()); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("got error %v, want ErrUnavailable", err)
	}
	empty := openPool(t, pgtest.NewDatabase(t))
	if got, err := empty.KPIConfigs(t.Context()); err == nil {
		t.Errorf("got %v without the table, want an error", got)
	}
}

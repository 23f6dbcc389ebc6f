package timescale

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

// seeded is the row that the migration inserts.
func seeded() KPIConfig {
	return KPIConfig{
		Devices: telemetry.DevicePattern{Gateway: "*", Device: "*"},
		Row: kpi.NewRow(kpi.Document{
			StateMetric: "state", CountMetric: "cycle_count", GoodMetric: "good_count", IdealCycle: 2, StaleAfter: 60,
		}, []byte(`{"0": {"element": "production"}, "1": {"element": "idle"}, "2": {"element": "setup"}, `+
			`"3": {"reason": "fault", "element": "down"}}`), []byte("null")),
	}
}

func kpiRow(gateway, device string, exact bool, d kpi.Document, states, planned string) KPIConfig {
	devices := telemetry.DevicePattern{Gateway: gateway, Device: device, Exact: exact}
	return KPIConfig{Devices: devices, Row: kpi.NewRow(d, []byte(states), []byte(planned))}
}

func TestKPIConfigs(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			got, err := pool.KPIConfigs(t.Context())
			if diff := cmp.Diff([]KPIConfig{seeded()}, got, cmp.AllowUnexported(kpi.Row{})); diff != "" || err != nil {
				t.Fatalf("seed differs, %v (-want +got):\n%s", err, diff)
			}
			execute(t, pool, `INSERT INTO device_kpi 
				(gateway_pattern, device_pattern, exact, priority, state_metric, states, ideal_cycle_seconds,
				stale_after_seconds, planned, counter_modulus, assume_good) VALUES
				('gw-1', 'press-*', false, 100, 'mode', '{"-1": {"element": "not_planned"}}', 0.25, 10, '{"mon": []}', 65536, true),
				('gw-1', 'press-12', false, 100, NULL, '{}', 0, 60, NULL, 0, false),
				('gw-1', 'press-12', true, 1, NULL, '{}', 0, 60, NULL, 0, false),
				('gw-2', '*', false, 500, NULL, '{"1": 7}', 0, 60, NULL, 0, false)`)
			got, err = pool.KPIConfigs(t.Context())
			want := []KPIConfig{
				kpiRow("gw-1", "press-12", true, kpi.Document{StaleAfter: 60}, "{}", "null"),
				kpiRow("gw-2", "*", false, kpi.Document{StaleAfter: 60}, `{"1": 7}`, "null"),
				kpiRow("gw-1", "press-12", false, kpi.Document{StaleAfter: 60}, "{}", "null"),
				kpiRow("gw-1", "press-*", false, kpi.Document{
					StateMetric: "mode", IdealCycle: 0.25, StaleAfter: 10, CounterModulus: 65536, AssumeGood: true,
				}, `{"-1": {"element": "not_planned"}}`, `{"mon": []}`),
				seeded(),
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(kpi.Row{})); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestKPIConfigsOfBefore migrates the rows of a database that the version before wrote.
func TestKPIConfigsOfBefore(t *testing.T) {
	pool := migrated(t, FlavourPlain)
	execute(t, pool, `ALTER TABLE device_kpi DROP CONSTRAINT device_kpi_pkey,
		DROP COLUMN exact, DROP COLUMN assume_good, DROP COLUMN counter_modulus, ADD PRIMARY KEY (gateway_pattern, device_pattern)`)
	execute(t, pool, `INSERT INTO gateway (site, name, site_since) VALUES ('plant-1', 'gw-1', now())`)
	execute(t, pool, `INSERT INTO device (gateway_id, name) SELECT id, unnest('{press*,press-1}'::text[]) FROM gateway`)
	execute(t, pool, `INSERT INTO device_kpi (gateway_pattern, device_pattern, priority) VALUES
		('gw-1', 'press-1', 1000), ('gw-1', 'press*', 1000), ('gw-1', 'mill*', 1000), ('gw-1', 'press-2', 100), ('gw-2', '*', 100)`)
	migration, err := migrationFiles.ReadFile("migrations/0011_kpi_config.sql")
	if err != nil {
		t.Fatal(err)
	}
	execute(t, pool, string(migration))
	got, err := pool.KPIConfigs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exact := map[string]bool{}
	for _, c := range got {
		exact[c.Devices.Gateway+"/"+c.Devices.Device] = c.Devices.Exact
	}
	want := map[string]bool{
		"gw-1/press-1": true, "gw-1/press*": true, // of the API
		"gw-1/mill*": false, "gw-1/press-2": false, "gw-2/*": false, "*/*": false,
	}
	if diff := cmp.Diff(want, exact); diff != "" {
		t.Errorf("exact differs (-want +got):\n%s", diff)
	}
}

func TestKPIConfigConstraints(t *testing.T) {
	pool := migrated(t, FlavourPlain)
	for _, statement := range []string{
		`INSERT INTO device_kpi (gateway_pattern) VALUES ('')`,
		`INSERT INTO device_kpi (gateway_pattern, states) VALUES ('x', '[]')`,
		`INSERT INTO device_kpi (gateway_pattern, planned) VALUES ('x', '"always"')`,
		`INSERT INTO device_kpi (gateway_pattern, ideal_cycle_seconds) VALUES ('x', -1)`,
		`INSERT INTO device_kpi (gateway_pattern, ideal_cycle_seconds) VALUES ('x', 'NaN')`,
		`INSERT INTO device_kpi (gateway_pattern, stale_after_seconds) VALUES ('x', 0)`,
		`INSERT INTO device_kpi (gateway_pattern) VALUES ('*')`,
		`INSERT INTO device_kpi (gateway_pattern, counter_modulus) VALUES ('x', 1)`,
		`INSERT INTO device_kpi (gateway_pattern, counter_modulus) VALUES ('x', 'NaN')`,
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

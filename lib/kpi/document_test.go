package kpi

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// valid is a document with all members.
const valid = `{"state_metric":"state","count_metric":"count","good_metric":"good","assume_good":false,
	"states":{"0":{"element":"production"},"7":{"element":"down","reason":"jam"},"-1":{"element":"not_planned"}},
	"ideal_cycle_seconds":1.5,"counter_modulus":65536,"stale_after_seconds":30,
	"planned":{"mon":[["06:00","14:00"],["14:00","24:00"]],"tue":[["00:00","06:00"]],"wed":null,"thu":[]}}`

func document(t *testing.T, text string) *Document {
	t.Helper()
	d := new(Document)
	if err := json.Unmarshal([]byte(text), d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDocumentIsAMachine(t *testing.T) {
	config, problems := document(t, valid).config()
	want := MachineConfig{
		StateMetric: "state", CountMetric: "count", GoodMetric: "good", IdealCycle: 1500 * time.Millisecond,
		CounterModulus: 65536, StaleLimit: 30 * time.Second,
		States: map[int]State{0: {Element: Production}, 7: {Down, "jam"}, -1: {Element: NotPlanned}},
		Shifts: []Shift{{6 * time.Hour, 14 * time.Hour}, {14 * time.Hour, 24 * time.Hour}, {24 * time.Hour, 30 * time.Hour}},
	}
	if diff := cmp.Diff(want, config); diff != "" || len(problems) > 0 {
		t.Errorf("got problems %v, configuration differs (-want +got):\n%s", problems, diff)
	}
	if m, problems := document(t, `{"stale_after_seconds":60}`).Machine(true); m != nil || problems != nil {
		t.Errorf("without metrics: got %v, %v, want no machine and no problems", m, problems)
	}
}

// TestPlannedTimeOfDocuments: null is always, a day that is missing or empty is never.
func TestPlannedTimeOfDocuments(t *testing.T) {
	monday := floor(noon, micros(24*time.Hour))
	for planned, want := range map[string]time.Duration{ // of a week
		`null`: week, `{}`: 0, `{"mon":[]}`: 0, `{"mon":null}`: 0, `{"tue":[["06:00","14:00"]]}`: 8 * time.Hour,
		`{"sun":[["22:00","24:00"]],"mon":[["00:00","06:00"]]}`: 8 * time.Hour,
	} {
		d := document(t, `{"state_metric":"s","stale_after_seconds":60,"planned":`+planned+`}`)
		m, problems := d.Machine(true)
		if m == nil {
			t.Fatal(problems)
		}
		if got := duration(m.planned(monday, monday+micros(week))); got != want {
			t.Errorf("%s: got %s planned in a week, want %s", planned, got, want)
		}
	}
}

func TestDocumentsWithProblems(t *testing.T) {
	for change, want := range map[string][]string{
		`"planned":{"mon":[["06:00","14:00"],["13:00","22:00"]]}`:      {"planned.mon: 06:00–14:00 and 13:00–22:00 overlap"},
		`"planned":{"mon":[["13:00","22:00"],["06:00","14:00"]]}`:      {"planned.mon: 06:00–14:00 and 13:00–22:00 overlap"},
		`"planned":{"sun":[["06:00","14:00"],["06:00","14:00"]]}`:      {"planned.sun: 06:00–14:00 and 06:00–14:00 overlap"},
		`"planned":{"mon":[["22:00","06:00"]]}`:                        {"planned.mon: 22:00–06:00 ends before it starts"},
		`"planned":{"mon":[["06:00","06:00"]]}`:                        {"planned.mon: 06:00–06:00 ends when it starts"},
		`"planned":{"mon":[["23:00","24:01"]]}`:                        {"planned.mon: each shift"},
		`"planned":{"mon":[["6:00","14:00"]]}`:                         {"planned.mon: each shift"},
		`"planned":{"mon":[["+6:00","14:00"]]}`:                        {"planned.mon: each shift"},
		`"planned":{"mon":[["06:00","14:00","15:00"]]}`:                {"planned.mon: each shift"},
		`"planned":{"mon":[["06:00"],null]}`:                           {"planned.mon: each shift", "planned.mon: each shift"},
		`"planned":{"monday":[]}`:                                      {"planned.monday: the day must be"},
		`"good_metric":"count"`:                                        {"good_metric: is the same metric as count_metric"},
		`"good_metric":"state"`:                                        {"good_metric: is the same metric as state_metric"},
		`"count_metric":"state"`:                                       {"count_metric: is the same metric as state_metric"},
		`"state_metric":"a\u0000b"`:                                    {"state_metric: must be the name"},
		`"assume_good":true`:                                           {"assume_good: cannot be true with a good_metric"},
		`"assume_good":true,"good_metric":"","count_metric":""`:        {"assume_good: needs", "counter_modulus: needs"},
		`"counter_modulus":1`:                                          {"counter_modulus: must be a whole number"},
		`"counter_modulus":65536.5`:                                    {"counter_modulus: must be a whole number"},
		`"counter_modulus":-65536`:                                     {"counter_modulus: must be a whole number"},
		`"counter_modulus":1e300`:                                      {"counter_modulus: must be a whole number"},
		`"count_metric":"","good_metric":""`:                           {"counter_modulus: needs a count_metric"},
		`"ideal_cycle_seconds":-1`:                                     {"ideal_cycle_seconds: must be"},
		`"ideal_cycle_seconds":1e-9`:                                   {"ideal_cycle_seconds: must be"},
		`"ideal_cycle_seconds":1e300`:                                  {"ideal_cycle_seconds: must be"},
		`"stale_after_seconds":0`:                                      {"stale_after_seconds: must be"},
		`"stale_after_seconds":1e-9`:                                   {"stale_after_seconds: must be"},
		`"stale_after_seconds":86401`:                                  {"stale_after_seconds: must be"},
		`"states":{"1.5":{"element":"idle"}}`:                          {"states.1.5: the code must be a whole number"},
		`"states":{"01":{"element":"idle"}}`:                           {"states.01: the code"},
		`"states":{"9007199254740993":{"element":"idle"}}`:             {"states.9007199254740993: the code"},
		`"states":{"99999999999999999999":{"element":"idle"}}`:         {"states.99999999999999999999: the code"},
		`"states":{"1":{"element":"asleep"}}`:                          {"states.1: element must be"},
		`"states":{"1":{"element":"unknown"}}`:                         {"states.1: element must be"},
		`"states":{"1":null}`:                                          {"states.1: element must be"},
		`"states":{"1":{"element":"idle","reason":"why"}}`:             {"states.1: only the element down"},
		`"states":{"1":{"element":"down","reason":"a\u0007"}}`:         {"states.1: reason must be"},
		`"states":{"2":{"element":"x"}},"planned":{"tue":[["a","b"]]}`: {"states.2: element", "planned.tue: each shift"},
	} {
		d := document(t, valid)
		d.States, d.Planned = nil, nil
		if err := json.Unmarshal([]byte("{"+change+"}"), d); err != nil {
			t.Fatal(err)
		}
		m, problems := d.Machine(true)
		if m != nil || len(problems) != len(want) {
			t.Errorf("%s: got problems %v, want %v", change, problems, want)
			continue
		}
		for i, p := range problems {
			if !strings.HasPrefix(p.String(), want[i]) {
				t.Errorf("%s: got %q, want %q…", change, p, want[i])
			}
		}
	}
	nan := document(t, valid)
	nan.IdealCycle, nan.StaleAfter, nan.CounterModulus = math.NaN(), math.NaN(), math.NaN()
	if _, problems := nan.Machine(true); len(problems) < 3 {
		t.Errorf("NaN: got problems %v, want 3", problems)
	}
}

// FuzzRow: whatever is stored, a row is a machine, none because it has no metrics, or has
// problems that name their member; and the document that the API accepts is the one that
// the database returns.
func FuzzRow(f *testing.F) {
	f.Add(`{"0": {"element": "production"}, "3": {"element": "down", "reason": "fault"}}`, `null`, 2.0, 60.0, 0.0)
	f.Add(`{}`, `{"mon": [["06:00", "14:00"], ["14:30", "24:00"]], "sun": [["00:00", "00:01"]]}`, 0.0, 1e-6, 2.0)
	f.Add(`{"1": {"element": "asleep"}}`, `{"mon": [["6:00", "-1:00"]]}`, math.Inf(1), math.NaN(), 0.5)
	f.Add(`{"+1": null}`, `{"mon": null}`, 86400.0, 86400.0, 9007199254740992.0)
	f.Add(`[]`, `"always"`, 1e-6, 1.0, 0.0)
	f.Fuzz(func(t *testing.T, states, planned string, ideal, stale, modulus float64) {
		r := NewRow(Document{
			StateMetric: "s", CountMetric: "c", IdealCycle: ideal, StaleAfter: stale, CounterModulus: modulus,
		}, []byte(states), []byte(planned))
		m, problems := r.Machine(true)
		if (m == nil) != (len(problems) > 0) {
			t.Fatalf("got machine %v and problems %v", m, problems)
		}
		if slices.ContainsFunc(problems, func(p Problem) bool { return p.Member == "configuration" }) {
			t.Fatalf("the document accepts what the machine does not: %v", problems)
		}
		if m == nil {
			return
		}
		text, err := json.Marshal(r.Document)
		if err != nil {
			t.Fatal(err)
		}
		var again Document
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		other, problems := again.Machine(true)
		if other == nil || !cmp.Equal(m, other, cmp.AllowUnexported(identity{}, Machine{}, meaning{}, shift{})) {
			t.Fatalf("got %v, %v after JSON, want the same machine", other, problems)
		}
	})
}

package stack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
	"github.com/insighthub/insighthub/lib/token"
)

// addClock adds the clock to an assembly, without its schedule: the test invokes it, and
// does not wait for a minute.
func addClock(t *testing.T, assembly string) {
	t.Helper()
	file := filepath.Join(assembly, "Flow.template.json")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	type object = map[string]any
	var template object
	if err := json.Unmarshal(raw, &template); err != nil {
		t.Fatal(err)
	}
	template["Resources"].(object)["Clock"] = object{
		"Type": "AWS::Lambda::Function", "Metadata": object{"insighthub:package": "functions/clock"},
		"Properties": object{
			"Runtime": "provided.al2023", "Role": "arn:aws:iam::000000000000:role/r", "MemorySize": 128, "Timeout": 60,
			"Environment": object{"Variables": object{
				"INSIGHTHUB_FUNCTION": "clock", "INSIGHTHUB_STAGE": "dev", "LOG_LEVEL": "info", "STREAM_NAME": object{"Ref": "Stream"},
			}},
		},
	}
	if raw, err = json.Marshal(template); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSilenceOfASite has all gateways of a site fall silent. Their alarms are raised while
// nothing at all is sent but the clock's ticks, and end with the next event. It prints how
// long that took.
func TestSilenceOfASite(t *testing.T) {
	t.Parallel()
	cfg := Config{State: t.TempDir(), Database: pgtest.NewDatabase(t), Functions: build(t).functions, Assembly: measuredAssembly(t)}
	serveAPI(t, cfg.Assembly)
	addClock(t, cfg.Assembly)
	s := startTest(t, cfg)
	login := logIn(t, s)
	const silence = 2 * time.Second
	gateways := []gateway{newGateway(t, s, "silent-1"), newGateway(t, s, "silent-2")}
	created := func(path, body string) {
		t.Helper()
		status, response := request(t, http.MethodPost, s.Info().HTTP+path, login, []byte(body))
		if status != http.StatusCreated {
			t.Fatalf("%s: got %d %s, want 201", path, status, response)
		}
	}
	created("/v1/sites", `{"name":"plant-1"}`)
	for _, g := range gateways { // a rule needs a gateway of the site
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		jwk, err := token.MarshalPublicKey(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		created("/v1/sites/plant-1/gateways", fmt.Sprintf(`{"name":%q,"key":%s}`, g.name, jwk))
		created("/v1/sites/plant-1/alarm-rules", fmt.Sprintf(
			`{"gateway":%q,"device":"press-1","metric":"temperature","kind":"no_data","silence_seconds":%v}`, g.name, silence.Seconds()))
	}
	send := func() (last time.Time) {
		t.Helper()
		for n, g := range gateways {
			last = time.Now()
			event := fmt.Sprintf(`{"events":[{"device":"press-1","metric":"temperature","time":%d,"value":%d}]}`, last.UnixMicro(), n)
			if err := g.post(t.Context(), s.Info().HTTP, []byte(event)); err != nil {
				t.Fatal(err)
			}
		}
		return last
	}
	type alarm struct {
		Gateway  string
		Time     time.Time
		EndedAt  *time.Time `json:"ended_at"`
		Reason   string     `json:"end_reason"`
		Duration *float64   `json:"duration_seconds"`
	}
	alarms := func(active string) []alarm {
		var page struct{ Items []alarm }
		call(t, http.MethodGet, s.Info().HTTP+"/v1/sites/plant-1/anomalies?kind=no_data&active="+active, login, nil, &page)
		return page.Items
	}

	last := send()
	go func() { // it ends with the stack
		_, _ = program(t, s, "clock").Invoke(t.Context(), nil)
	}()
	eventually.True(t, "alarms of all gateways, without any traffic", func() bool { return len(alarms("true")) == len(gateways) })
	t.Logf("silence of %v: the alarms are in the API %.1f s after the last event", silence, time.Since(last).Seconds())
	for _, a := range alarms("true") {
		if since := a.Time.Sub(last); since < silence-2*time.Second || since > silence+time.Minute || a.EndedAt != nil {
			t.Errorf("%s: got %+v, want the end of the silence after %v", a.Gateway, a, last)
		}
	}
	send()
	eventually.True(t, "the end of all alarms", func() bool { return len(alarms("true")) == 0 })
	ended := alarms("false")
	for _, a := range ended {
		if a.EndedAt == nil || a.Reason != "cleared" || a.Duration == nil || *a.Duration <= 0 {
			t.Errorf("%s: got %+v, want its end and duration", a.Gateway, a)
		}
	}
	if len(ended) < len(gateways) {
		t.Errorf("got %d alarms that have ended, want one of each gateway", len(ended))
	}
}

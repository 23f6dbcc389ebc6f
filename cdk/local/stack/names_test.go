package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

// TestGatewayAtItsBound: a gateway that has its 1,000 metrics sends one known and one new
// name. The known one is stored, and the response rejects the other; after one was deleted
// it is accepted.
func TestGatewayAtItsBound(t *testing.T) {
	t.Parallel()
	cfg := Config{State: t.TempDir(), Database: pgtest.NewDatabase(t), Functions: build(t).functions, Assembly: measuredAssembly(t)}
	serveAPI(t, cfg.Assembly)
	s := startTest(t, cfg)
	g, administrator := newGateway(t, s, "gw-full"), logIn(t, s)
	url := s.Info().HTTP
	api := func(method, path, body string) (int, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url+"/v1/sites"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+administrator)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, raw
	}
	if status, raw := api(http.MethodPost, "", `{"name":"plant-1"}`); status != http.StatusCreated {
		t.Fatalf("create the site: %d %s", status, raw)
	}

	start, sent := time.Now().Add(-time.Minute).UnixMicro(), 0
	event := func(metric string) string {
		sent++
		return fmt.Sprintf(`{"device":"plc","metric":%q,"time":%d,"value":%d}`, metric, start+int64(sent), sent)
	}
	type answer struct {
		Accepted int
		Errors   []struct {
			Index        int
			Code, Reason string
		}
	}
	post := func(events string) (a answer, err error) {
		status, raw, err := g.try(t.Context(), url, []byte(`{"events":[`+events+`]}`))
		if err == nil && status != http.StatusAccepted && status != http.StatusUnprocessableEntity {
			err = fmt.Errorf("got %d %s", status, raw)
		}
		if err == nil {
			err = json.Unmarshal(raw, &a)
		}
		return a, err
	}
	stored := func(metric string) int {
		var page struct{ Times []int64 }
		status, raw := api(http.MethodGet, "/plant-1/readings?gateway=gw-full&device=plc&metric="+metric, "")
		if status != http.StatusNotFound && json.Unmarshal(raw, &page) != nil {
			t.Fatalf("readings: %d %s", status, raw)
		}
		return len(page.Times)
	}
	all := event("m-0")
	for i := 1; i < telemetry.MaxMetrics; i++ {
		all += "," + event(fmt.Sprint("m-", i))
	}
	eventually.NoError(t, "the first batch to be accepted", func() error {
		a, err := post(all)
		if err == nil && a.Accepted != telemetry.MaxMetrics {
			t.Fatalf("got %+v, want all accepted", a)
		}
		return err
	})
	eventually.NoError(t, "1,000 stored metrics", func() error {
		if stored("m-999") == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	a, err := post(event("m-7") + "," + event("new"))
	if err != nil || a.Accepted != 1 || len(a.Errors) != 1 || a.Errors[0].Index != 1 || a.Errors[0].Code != "too_many_metrics" {
		t.Errorf("one known and one new name: got %+v, %v, want the new one rejected", a, err)
	}
	eventually.NoError(t, "the known name's event", func() error {
		if n := stored("m-7"); n != 2 {
			return fmt.Errorf("%d readings", n)
		}
		return nil
	})
	if status, raw := api(http.MethodDelete, "/plant-1/gateways/gw-full/metrics/m-3", ""); status != http.StatusNoContent {
		t.Fatalf("delete a metric: %d %s", status, raw)
	}
	eventually.NoError(t, "room for a name", func() error {
		a, err := post(event("new"))
		if err == nil && a.Accepted != 1 {
			err = fmt.Errorf("got %+v", a)
		}
		return err
	})
	eventually.NoError(t, "the new name's event", func() error {
		if stored("new") == 0 {
			return errors.New("not yet")
		}
		return nil
	})
}

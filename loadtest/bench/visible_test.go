package bench

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insighthub/insighthub/loadtest/fleet"
)

// A window is counted once, at the first answer that holds it, also when two come at once.
func TestVisible(t *testing.T) {
	start := time.Now().Add(-10 * time.Second).UnixMilli()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q := r.FormValue("query"); q != `insighthub_window_events{gateway=~"a-001|a-002|a-003"}[1m]` {
			t.Errorf("query %s", q)
		}
		values := fmt.Sprintf(`[%f,"5"]`, float64(start)/1000)
		if asked.Add(1) > 1 {
			values += fmt.Sprintf(`,[%f,"5"],[%f,"5"]`, float64(start+1000)/1000, float64(start+2000)/1000)
		}
		fmt.Fprintf(w, `{"status":"success","data":{"result":[{"metric":{"gateway":"a-001"},"values":[%s]}]}}`, values)
	}))
	defer server.Close()
	gateways, err := fleet.New(fleet.Config{Prefix: "a", Gateways: 3, Machines: 1, Samples: 1, Start: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	v := watchFigures(t.Context(), server.URL, gateways)
	for asked.Load() < 4 {
		time.Sleep(time.Millisecond)
	}
	p, err := v.stop()
	if err != nil || len(v.samples) != 3 || p.Max < 10_000 || p.P50 < 8_000 {
		t.Errorf("%d windows, %+v, %v; want 3, at least 10, 9 and 8 s", len(v.samples), p, err)
	}
}

func TestVisibleNothing(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, `{"status":"error","error":"parse error"}`)
	}))
	defer server.Close()
	v := watchFigures(t.Context(), server.URL, nil)
	for asked.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	if _, err := v.stop(); !errors.Is(err, errNoFigures) || !strings.Contains(err.Error(), "parse error") {
		t.Errorf("%v, want Prometheus's words", err)
	}
}

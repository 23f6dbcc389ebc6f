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

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/loadtest/fleet"
	"github.com/insighthub/insighthub/loadtest/kpicheck"
)

// A window counts once, at the first response that contains it, even if two become visible
// together. Windows before the start do not count; those that never become visible do.
func TestVisible(t *testing.T) {
	const window = 5000
	first := windowBefore(time.Now().Add(-time.Minute).UnixMilli()) // the last window before the start
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q := r.FormValue("query"); q != `insighthub_window_events{gateway=~"a-001|a-002|a-003"}[1m]` {
			t.Errorf("query %s", q)
		}
		windows := 2
		if asked.Add(1) > 1 {
			windows = 4
		}
		for i := range 3 {
			fmt.Fprint(w, []string{`{"status":"success","data":{"result":[`, ",", ","}[i])
			fmt.Fprintf(w, `{"metric":{"gateway":"a-00%d"},"values":[`, i+1)
			for k := range windows {
				fmt.Fprint(w, strings.Repeat(",", min(k, 1)))
				fmt.Fprintf(w, `[%f,"5"]`, float64(first+int64(k)*window)/1000)
			}
			fmt.Fprint(w, "]}")
		}
		fmt.Fprint(w, "]}}")
	}))
	defer server.Close()
	gateways, err := fleet.New(fleet.Config{Prefix: "a", Gateways: 3, Machines: 1, Samples: 1, Start: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	v := WatchKPIs(t.Context(), kpicheck.Server(server.URL), gateways, time.UnixMilli(first+1))
	eventually.True(t, "four queries", func() bool { return asked.Load() >= 4 })
	v.cancel()
	<-v.ended
	if len(v.after) != 3*3 {
		t.Errorf("got %d windows, want 3 of each gateway", len(v.after))
	}
	p, events, err := v.Stop()
	if err != nil || len(v.after) <= 3*10 || len(v.after)%3 != 0 {
		t.Errorf("got %d windows and error %v, want also those that never became visible", len(v.after), err)
	}
	if p.Max < 55_000 || p.Max > 120_000 || events.Max < p.Max+4_000 || events.Max > p.Max+window || events.P50 > p.Max {
		t.Errorf("got %+v after the window and %+v after the event, want about a minute", p, events)
	}
}

func TestVisibleNothing(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, `{"status":"error","error":"parse error"}`)
	}))
	defer server.Close()
	gateways, err := fleet.New(fleet.Config{Prefix: "a", Gateways: 1, Machines: 1, Samples: 1, Start: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	v := WatchKPIs(t.Context(), kpicheck.Server(server.URL), gateways, time.Now().Add(-time.Minute))
	eventually.True(t, "two queries", func() bool { return asked.Load() >= 2 })
	if _, _, err := v.Stop(); !errors.Is(err, errNoKPIs) || !strings.Contains(err.Error(), "parse error") {
		t.Errorf("got %v, want Prometheus's error text", err)
	}
}

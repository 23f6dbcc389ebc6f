package replay

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestRead(t *testing.T) {
	in, err := os.Open("testdata/pump.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	f, err := Read(in, DeviceOf("a/valve1/1.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if f.Device != "valve1-1" || f.Rows != 3 || f.Gaps != 1 || len(f.Events) != 11 {
		t.Errorf("got device %s, %d rows, %d gaps, %d events; want valve1-1, 3, 1, 11", f.Device, f.Rows, f.Gaps, len(f.Events))
	}
	want := telemetry.Event{Device: "valve1-1", Metric: "Pressure", Time: 1583077448500000, Value: 0.05}
	if diff := cmp.Diff(want, f.Events[8]); diff != "" {
		t.Error(diff)
	}
}

func TestReadNamesWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "header",
		"time;a\n":                              "datetime",
		"datetime;a\nyesterday;1\n":             "line 2, column datetime",
		"datetime;a\n2020-03-01 15:44:06;x\n":   "line 2, column a",
		"datetime,a\n2020-03-01 15:44:06,NaN\n": "line 2, column a",
		"datetime;a\n2020-03-01 15:44:06\n":     "line 2",
	} {
		_, err := Read(strings.NewReader(in), "d")
		if !errors.Is(err, telemetry.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an invalid error that names %q", in, err, want)
		}
	}
}

func TestSendSplitsAndRetries(t *testing.T) {
	var got []int64
	calls := 0
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		if calls == 2 {
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		}
		var in struct{ Events []struct{ Time int64 } }
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &in); err != nil {
			t.Error(err)
		}
		for _, e := range in.Events {
			got = append(got, e.Time)
		}
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(map[string]int{"accepted": len(in.Events)})
	}))
	defer ts.Close()
	events := make([]telemetry.Event, 5)
	for i := range events {
		events[i] = telemetry.Event{Device: "d", Metric: `quo"te`, Time: telemetry.Micros(i), Value: 1}
	}
	token := func(context.Context) (string, error) { return "t", nil }
	s := Sender{URL: ts.URL, Token: token, Client: ts.Client(), BatchEvents: 2, Attempts: 3}
	sum, err := s.Send(context.Background(), events, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{0, 1, 2, 3, 4}, got); diff != "" {
		t.Error(diff)
	}
	if sum != (Sum{Requests: 3, Accepted: 5}) {
		t.Errorf("got %+v", sum)
	}
}

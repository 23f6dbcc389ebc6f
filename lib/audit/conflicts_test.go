package audit

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConflictsCheck(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	conflicts, broken := 0, false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer admin":
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/v1/sites":
			fmt.Fprint(w, `{"items":[{"name":"plant 1"},{"name":"plant-2"}]}`)
		case r.URL.Query().Get("since") != fmt.Sprint(now.Add(-time.Hour).UnixMicro()) || broken:
			w.WriteHeader(http.StatusBadRequest)
		case r.URL.EscapedPath() == "/v1/sites/plant%25201/conflicts/devices":
			items := make([]string, conflicts)
			for i := range items {
				items[i] = fmt.Sprintf(`{"gateway":"gw-1","device":"press-%d","conflicts":300,"metrics":["force"]}`, i)
			}
			fmt.Fprintf(w, `{"items":[%s]}`, strings.Join(items, ","))
		case r.URL.Path == "/v1/sites/plant-2/conflicts/devices":
			fmt.Fprint(w, `{"items":[]}`)
		}
	}))
	defer server.Close()
	check := ConflictsCheck(API{Base: server.URL, HTTP: server.Client(), Now: func() time.Time { return now }}, "admin")
	todo := "read GET /v1/sites/{site}/conflicts: does the source's clock stand still, or do two machines send under one name?"
	for n, want := range map[int]Finding{
		0: {"conflicts: devices", Pass, "none in an hour, at 2 sites", ""},
		1: {"conflicts: devices", Warn, "1 devices sent other values for a time that is stored: plant 1/gw-1/press-0 (300)", todo},
		6: {
			"conflicts: devices", Warn, "6 devices sent other values for a time that is stored: plant 1/gw-1/press-0 (300), " +
				"plant 1/gw-1/press-1 (300), plant 1/gw-1/press-2 (300), plant 1/gw-1/press-3 (300), plant 1/gw-1/press-4 (300), …", todo,
		},
	} {
		conflicts = n
		if diff := cmp.Diff([]Finding{want}, check(t.Context())); diff != "" {
			t.Errorf("%d devices (-want +got):\n%s", n, diff)
		}
	}
	broken = true
	if got := check(t.Context()); len(got) != 1 || got[0].Result != Fail {
		t.Errorf("got %+v, want a failure", got)
	}
}

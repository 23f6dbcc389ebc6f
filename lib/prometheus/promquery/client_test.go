package promquery

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func serve(t *testing.T, status int, body string) (*Client, *http.Request) {
	t.Helper()
	var seen http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		seen = *r
		seen.Form, _ = url.ParseQuery(string(raw))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	c, err := New(Config{URL: s.URL + "/workspaces/ws-1/", HTTP: s.Client(), Now: time.Now, SigV4: &awsconfig.SigV4{
		Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c, &seen
}

func TestQuery(t *testing.T) {
	t.Parallel()
	c, seen := serve(t, 200, `{"status":"success","data":{"resultType":"vector","result":[
		{"metric":{"function":"store"},"value":[1700000000.1,"0.25"]},{"metric":{},"value":[1700000000.1,"+Inf"]}]}}`)
	got, err := c.Query(t.Context(), `up{job="a&b"}`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Sample{{map[string]string{"function": "store"}, 0.25}, {map[string]string{}, math.Inf(1)}}, got); diff != "" {
		t.Error(diff)
	}
	if seen.URL.Path != "/workspaces/ws-1/api/v1/query" || seen.Form.Get("query") != `up{job="a&b"}` {
		t.Errorf("got request %s %v", seen.URL, seen.Form)
	}
	if signed := seen.Header.Get("Authorization"); !strings.Contains(signed, "/eu-central-1/aps/aws4_request") {
		t.Errorf("got signature %q", signed)
	}
	c, _ = serve(t, 200, `{"status":"success","data":{"resultType":"scalar","result":[1700000000.1,"7"]}}`)
	if got, err := c.Query(t.Context(), "scalar(x)"); err != nil || len(got) != 1 || got[0].Value != 7 {
		t.Errorf("scalar: got %v, %v", got, err)
	}
}

func TestQueryFails(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]error{
		`{"status":"error","error":"no"}`: telemetry.ErrUnavailable,
		`<html>`:                          telemetry.ErrUnavailable,
		`{"status":"success","data":{"resultType":"vector","result":[{"value":[1]}]}}`:     telemetry.ErrUnavailable,
		`{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"x"]}]}}`: telemetry.ErrUnavailable,
		`{"status":"success","data":{"resultType":"matrix","result":[]}}`:                  telemetry.ErrInvalid,
	} {
		c, _ := serve(t, 200, body)
		if _, err := c.Query(t.Context(), "x"); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", body, err, want)
		}
	}
	for status, want := range map[int]error{400: telemetry.ErrInvalid, 403: telemetry.ErrUnavailable, 503: telemetry.ErrUnavailable} {
		c, _ := serve(t, status, "")
		if _, err := c.Query(t.Context(), "x"); !errors.Is(err, want) {
			t.Errorf("%d: got %v, want %v", status, err, want)
		}
	}
	if _, err := New(Config{URL: "prometheus"}); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("no URL: got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1,"NaN"]}]}}`))
	f.Add([]byte(`{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}`))
	f.Add([]byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"metric":"x"},"value":[1,"2.5"]}]}}`))
	f.Add([]byte(`{"status":"success","data":{"resultType":"vector","result":[{"value":[]}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if samples, err := parse(raw); err != nil && samples != nil {
			t.Errorf("got samples and %v, want one of them", err)
		}
	})
}

func TestUserAgentHasAVersion(t *testing.T) {
	t.Parallel()
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.UserAgent()
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[]}}`))
	}))
	defer server.Close()
	client, err := New(Config{URL: server.URL, HTTP: http.DefaultClient, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Query(t.Context(), "up"); err != nil || !regexp.MustCompile(`^insighthub/\d+\.\d+\.\d+`).MatchString(got) {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestHungServerFailsFast: a server that accepts and does not respond costs the first query
// its timeout, the next one a probe, and those after it nothing; a slow one stays in use.
func TestHungServerFailsFast(t *testing.T) {
	var asked, hung atomic.Int64
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if hung.Load() > 0 || strings.Contains(r.FormValue("query"), "slow") {
			<-release
		}
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"scalar","result":[0,"1"]}}`))
	}))
	defer server.Close()
	defer close(release)
	now := time.Now()
	client, err := New(Config{URL: server.URL, HTTP: server.Client(), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	query := func(what, text string, requests int64, want error) {
		t.Helper()
		before := asked.Load()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if want == nil { // on any machine
			cancel()
			ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		}
		defer cancel()
		if _, err := client.Query(ctx, text); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
		if n := asked.Load() - before; n != requests {
			t.Errorf("%s: got %d requests, want %d", what, n, requests)
		}
	}
	query("at first", "up", 1, nil)
	query("slow", "slow", 1, telemetry.ErrUnavailable)
	query("another after a slow one", "up", 2, nil) // the probe and the query
	hung.Store(1)
	query("hung: first", "up", 1, telemetry.ErrUnavailable)
	now = now.Add(10 * time.Second)
	query("hung: second", "up", 1, telemetry.ErrUnavailable) // the probe
	query("hung: third", "up", 0, telemetry.ErrUnavailable)
	hung.Store(0)
	now = now.Add(time.Second)
	query("responds", "up", 2, nil)
	query("responds", "up", 1, nil)
}

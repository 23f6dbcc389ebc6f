package promquery

import (
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
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

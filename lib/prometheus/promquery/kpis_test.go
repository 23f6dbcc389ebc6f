package promquery

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/cdk/local/prometheus"
	"github.com/insighthub/insighthub/cdk/local/prometheus/prometheustest"
	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func newKPIs(t *testing.T, url string) *KPIs {
	t.Helper()
	f, err := NewKPIs(Config{URL: url, HTTP: http.DefaultClient, Now: time.Now}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestRealPrometheus writes windows of machines whose names try to inject PromQL, and queries
// their sums.
func TestRealPrometheus(t *testing.T) {
	server, err := prometheus.Start(t.Context(), prometheus.Config{Binary: prometheustest.Server(t), DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(t.Context()) })
	writer, err := remotewrite.New(remotewrite.Config{
		URL: server.URL() + "/api/v1/write", HTTP: http.DefaultClient, Protocol: remotewrite.V1, Now: time.Now, Rand: rand.Float64,
	})
	if err != nil {
		t.Fatal(err)
	}
	const window = 5 * time.Second
	end := time.Now().Add(-time.Minute).Truncate(window)
	names := []string{"press-1", `x"} or vector(1) or up{y="`, `\`, `\"`, "a\nb", "ü/☃/😀", "{}", `"`, "`", "'"}
	var series []remotewrite.Series
	for i, name := range names {
		sums := map[kpi.Name]float64{
			kpi.CalendarSeconds: 5, kpi.PlannedSeconds: 5, kpi.BusySeconds: 4, kpi.ProductionSeconds: 3, kpi.IdleSeconds: 0.25,
			kpi.SetupSeconds: 0.25, kpi.DownSeconds: 0.5, kpi.UnknownSeconds: 1, kpi.Failures: 1, kpi.Produced: float64(i + 2),
			kpi.Good: float64(i + 1), kpi.IdealSeconds: 2.1, kpi.PerformanceProductionSeconds: 3,
		}
		if i < 2 { // the others report no good count
			sums[kpi.QualityProduced], sums[kpi.QualityGood] = 2, 1
		}
		for metric, value := range sums {
			s := remotewrite.Series{Labels: []remotewrite.Label{
				{Name: "__name__", Value: string(metric)},
				{Name: "device", Value: name},
				{Name: "gateway", Value: "gw-1"},
				{Name: "site", Value: "plant-1"},
			}}
			if metric == kpi.DownSeconds {
				s.Labels = append(s.Labels[:3:3], remotewrite.Label{Name: "reason", Value: "fault " + name}, s.Labels[3])
			}
			for n := range 12 {
				if i == 1 && n >= 10 && (metric == kpi.QualityProduced || metric == kpi.QualityGood) {
					break // in its newest windows it does not take part any more
				}
				at := end.Add(-time.Duration(11-n) * window)
				s.Samples = append(s.Samples, remotewrite.Sample{Timestamp: at.UnixMilli(), Value: value})
			}
			series = append(series, s)
		}
	}
	// A machine without a down state.
	series = append(series, remotewrite.Series{Labels: []remotewrite.Label{
		{Name: "__name__", Value: string(kpi.DownSeconds)},
		{Name: "device", Value: "never-down"},
		{Name: "gateway", Value: "gw-1"},
		{Name: "site", Value: "plant-1"},
	}, Samples: []remotewrite.Sample{{Timestamp: end.UnixMilli(), Value: 0}}})
	if _, err := writer.Write(t.Context(), series); err != nil {
		t.Fatal(err)
	}
	c := newKPIs(t, server.URL())
	span := readings.Range{From: telemetry.MicrosOf(end.Add(-6 * window)), To: telemetry.MicrosOf(end)}
	for i, name := range names {
		got, err := c.Sums(t.Context(), readings.Selection{
			Site: "plant-1", Gateway: "gw-1", Device: telemetry.DeviceName(name), Range: span,
		})
		want := kpi.Totals{
			Sums: map[kpi.Name]float64{
				kpi.CalendarSeconds: 30, kpi.PlannedSeconds: 30, kpi.BusySeconds: 24, kpi.ProductionSeconds: 18, kpi.IdleSeconds: 1.5,
				kpi.SetupSeconds: 1.5, kpi.DownSeconds: 3, kpi.UnknownSeconds: 6, kpi.Failures: 6, kpi.Produced: float64(6 * (i + 2)),
				kpi.Good: float64(6 * (i + 1)), kpi.IdealSeconds: 12.6, kpi.PerformanceProductionSeconds: 18,
			},
			Machines: map[kpi.Name]int64{kpi.CalendarSeconds: 1, kpi.BusySeconds: 1, kpi.PerformanceProductionSeconds: 1},
			Downtime: map[string]float64{"fault " + name: 3}, Windows: 6,
		}
		if i == 0 {
			want.Sums[kpi.QualityProduced], want.Sums[kpi.QualityGood], want.Machines[kpi.QualityProduced] = 12, 6, 1
		}
		if i == 1 { // the windows that took part stay
			want.Sums[kpi.QualityProduced], want.Sums[kpi.QualityGood], want.Machines[kpi.QualityProduced] = 8, 4, 1
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v, sums differ (-want +got):\n%s", name, err, diff)
		}
	}
	site, err := c.Sums(t.Context(), readings.Selection{Site: "plant-1", Range: span})
	n := int64(len(names))
	wantMachines := map[kpi.Name]int64{
		kpi.CalendarSeconds: n, kpi.BusySeconds: n, kpi.PerformanceProductionSeconds: n, kpi.QualityProduced: 2,
	}
	if diff := cmp.Diff(wantMachines, site.Machines); err != nil || diff != "" || site.Windows != 6*n || len(site.Downtime) != len(names) {
		t.Errorf("site: got %+v, %v; machines differ (-want +got):\n%s", site, err, diff)
	}
	steady, err := c.Sums(t.Context(), readings.Selection{Site: "plant-1", Gateway: "gw-1", Device: "never-down", Range: span})
	if down, ok := steady.Sums[kpi.DownSeconds]; err != nil || !ok || down != 0 || steady.Downtime == nil || len(steady.Downtime) != 0 {
		t.Errorf("never down: got %+v, %v; want down time 0, and no reason", steady, err)
	}
	none, err := c.Sums(t.Context(), readings.Selection{Site: `plant-1"} or {site="plant-1`, Range: span})
	if err != nil || none.Windows != 0 || len(none.Sums) != 0 || none.Downtime != nil {
		t.Errorf("another site: got %+v, %v, want nothing", none, err)
	}
}

func TestErrors(t *testing.T) {
	s := readings.Selection{Site: "p", Range: readings.Range{From: 0, To: 1e9}}
	for name, c := range map[string]struct {
		status int
		body   string
		want   error // nil: internal
	}{
		"too much":   {422, "{}", telemetry.ErrInvalid},
		"throttled":  {429, "", telemetry.ErrUnavailable},
		"down":       {503, "", telemetry.ErrUnavailable},
		"bad":        {400, "", nil},
		"redirected": {302, "", nil},
		"not JSON":   {200, "<html>", nil},
		"matrix":     {200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`, nil},
		"NaN":        {200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]}]}}`, nil},
		"no value":   {200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}`, nil},
		"endless":    {200, `"` + strings.Repeat("a", 2<<20), nil},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		_, err := newKPIs(t, server.URL).Sums(t.Context(), s)
		server.Close()
		for _, sentinel := range []error{telemetry.ErrInvalid, telemetry.ErrUnavailable} {
			if want := errors.Is(c.want, sentinel); err == nil || errors.Is(err, sentinel) != want {
				t.Errorf("%s: got %v, want %v: %t", name, err, sentinel, want)
			}
		}
	}
	if _, err := newKPIs(t, "http://127.0.0.1:1/").Sums(t.Context(), s); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("no server: got %v, want ErrUnavailable", err)
	}
	for _, url := range []string{"", "host", "ftp://host"} {
		_, err := NewKPIs(Config{URL: url, HTTP: http.DefaultClient, Now: time.Now}, time.Second)
		if !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("URL %q: got %v, want ErrInvalid", url, err)
		}
	}
}

func TestSlowServer(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	c, err := NewKPIs(Config{URL: server.URL, HTTP: http.DefaultClient, Now: time.Now}, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sums(t.Context(), readings.Selection{Range: readings.Range{To: 1e9}}); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestSignature(t *testing.T) {
	var seen http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[]}}`)
	}))
	defer server.Close()
	c, err := NewKPIs(Config{
		URL: server.URL + "/workspaces/ws-1/", HTTP: http.DefaultClient, Now: func() time.Time { return time.Unix(1795435200, 0) },
		SigV4: &awsconfig.SigV4{
			Region: "eu-west-1", Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider("AKID", "secret", "")),
		},
	}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sums(t.Context(), readings.Selection{Range: readings.Range{To: 1e9}}); err != nil {
		t.Fatal(err)
	}
	if got := seen.Get("Authorization"); !strings.Contains(got, "AWS4-HMAC-SHA256 Credential=AKID/20261123/eu-west-1/aps/aws4_request") {
		t.Errorf("signature %q", got)
	}
}

// FuzzQuote: no text ends its literal or adds a character that could.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"press-1", `"`, `\`, "\x00", "`", "😀", "\xff", "\u2028", "a\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := quote(text)
		inner := got[1 : len(got)-1]
		for i := 0; i < len(inner); i++ {
			if c := inner[i]; c == '"' || c < ' ' || c > '~' || c == '\\' && inner[i+1] != 'u' && inner[i+1] != 'U' {
				t.Fatalf("%q became %s", text, got)
			}
		}
	})
}

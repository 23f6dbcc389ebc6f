package remotewrite_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

func TestMessage2(t *testing.T) {
	r := newReceiver(t)
	r.supports2 = true
	classic := lag(9000)
	classic.Labels[1].Value = "plant-2"
	classic.Histograms[0].Native = nil
	got, err := newClient(t, r.URL).Write(t.Context(), []remotewrite.Series{lag(9000), classic})
	if err != nil || got.Histograms != 1 || got.Exemplars != 2 || got.Samples != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
	m := r.v2[0]
	ts := m.Timeseries[0]
	labels := labelsOf(m, ts.LabelsRefs)
	if labels.String() != `{__name__="insighthub_ingest_lag_seconds", site="plant-1"}` || len(ts.Samples) > 0 {
		t.Errorf("got series %s with samples %v, want none", labels.String(), ts.Samples)
	}
	want := writev2.Histogram{
		Count: &writev2.Histogram_CountInt{CountInt: 4}, Sum: 1, Timestamp: 9000, ZeroThreshold: 1e-9,
		ZeroCount: &writev2.Histogram_ZeroCountInt{ZeroCountInt: 1}, ResetHint: writev2.Histogram_RESET_HINT_GAUGE,
		PositiveSpans: []writev2.BucketSpan{{Offset: -4, Length: 1}, {Offset: 2, Length: 1}}, PositiveDeltas: []int64{1, 1},
	}
	if diff := cmp.Diff(want, ts.Histograms[0]); diff != "" {
		t.Error(diff)
	}
	if m.Symbols[ts.Metadata.HelpRef] != "Time from receipt to window." || m.Symbols[ts.Metadata.UnitRef] != "seconds" ||
		ts.Metadata.Type != writev2.Metadata_METRIC_TYPE_GAUGEHISTOGRAM {
		t.Errorf("%+v", ts.Metadata)
	}
	x := ts.Exemplars[0]
	labels = labelsOf(m, x.LabelsRefs)
	if labels.String() != `{trace_id="1-5759e988-bd862e3fe1be46a994272793"}` || x.Value != 0.3 || x.Timestamp != 9000 {
		t.Errorf("got exemplar %s %+v", labels.String(), x)
	}
}

func TestMessage1(t *testing.T) {
	r := newReceiver(t)
	derived := lag(9000)
	derived.Labels[1].Value = "plant-2"
	derived.Histograms[0].Buckets = nil
	now := time.Unix(1000, 0)
	c := newClient(t, r.URL, func(cfg *remotewrite.Config) {
		cfg.Protocol, cfg.Now = remotewrite.V1, func() time.Time { return now }
	})
	for range 2 {
		if _, err := c.Write(t.Context(), []remotewrite.Series{lag(9000), derived}); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]float64{}
	exemplars := map[string]int{}
	for _, ts := range r.v1[0].Timeseries {
		s := remotewrite.Series{}
		for _, l := range ts.Labels {
			s.Labels = append(s.Labels, remotewrite.Label{Name: l.Name, Value: l.Value})
		}
		got[s.String()] = ts.Samples[0].Value
		if len(ts.Exemplars) > 0 {
			exemplars[s.String()] += len(ts.Exemplars)
		}
	}
	const name = `__name__="insighthub_ingest_lag_seconds_`
	if diff := cmp.Diff(map[string]float64{
		`{` + name + `bucket", le="0.1", site="plant-1"}`:  2,
		`{` + name + `bucket", le="0.5", site="plant-1"}`:  3,
		`{` + name + `bucket", le="+Inf", site="plant-1"}`: 4,
		`{` + name + `sum", site="plant-1"}`:               1,
		`{` + name + `count", site="plant-1"}`:             4,
		// Zero, 2^-4, and 2^-1: index -4, then -4+1+2 = -1.
		`{` + name + `bucket", le="1e-09", site="plant-2"}`:  1,
		`{` + name + `bucket", le="0.0625", site="plant-2"}`: 2,
		`{` + name + `bucket", le="0.5", site="plant-2"}`:    4,
		`{` + name + `bucket", le="+Inf", site="plant-2"}`:   4,
		`{` + name + `sum", site="plant-2"}`:                 1,
		`{` + name + `count", site="plant-2"}`:               4,
	}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{
		`{` + name + `bucket", le="0.5", site="plant-1"}`: 1,
		`{` + name + `bucket", le="0.5", site="plant-2"}`: 1,
	}, exemplars); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]prompb.MetricMetadata{{
		Type: prompb.MetricMetadata_GAUGEHISTOGRAM, MetricFamilyName: "insighthub_ingest_lag_seconds",
		Help: "Time from receipt to window.", Unit: "seconds",
	}}, r.v1[0].Metadata); diff != "" {
		t.Error(diff)
	}
	if len(r.v1[1].Metadata) != 0 {
		t.Error("got metadata in the second request, want it after a minute")
	}
	now = now.Add(time.Minute)
	if _, err := c.Write(t.Context(), []remotewrite.Series{lag(9000)}); err != nil || len(r.v1[2].Metadata) != 1 {
		t.Errorf("metadata after a minute: %v, %v", r.v1[2].Metadata, err)
	}
}

// A request must not contain what an earlier one left in the reused memory.
func TestMessagesDoNotLeakIntoOneAnother(t *testing.T) {
	for _, protocol := range []remotewrite.Protocol{remotewrite.V1, remotewrite.V2} {
		fresh, used := newReceiver(t), newReceiver(t)
		fresh.supports2, used.supports2 = true, true
		set := func(cfg *remotewrite.Config) { cfg.Protocol = protocol }
		c := newClient(t, used.URL, set)
		for _, earlier := range [][]remotewrite.Series{{lag(1), lag(2)}, gauges(50, 1, 2, 3)} {
			if _, err := c.Write(t.Context(), earlier); err != nil {
				t.Fatal(err)
			}
		}
		last := gauges(20, 4)
		for i := range last {
			last[i].Metadata = remotewrite.Metadata{}
		}
		for _, c := range []*remotewrite.Client{c, newClient(t, fresh.URL, set)} {
			if _, err := c.Write(t.Context(), last); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(fresh.requests[0].body, used.requests[len(used.requests)-1].body) {
			t.Errorf("%s: got other bytes from a client that was used before", protocol)
		}
	}
}

func TestSignature(t *testing.T) {
	r := newReceiver(t)
	credentials := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "a-test", SessionToken: "session"}
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	retrieved := 0
	var failure error
	c := newClient(t, r.URL, func(cfg *remotewrite.Config) {
		cfg.Protocol, cfg.Now = remotewrite.V1, func() time.Time { return now }
		provider := func(context.Context) (aws.Credentials, error) {
			retrieved++
			return credentials, failure
		}
		cfg.SigV4 = &awsconfig.SigV4{Region: "eu-west-1", Credentials: aws.CredentialsProviderFunc(provider)}
	})
	r.script = first503 // each attempt is signed by itself
	if _, err := c.Write(t.Context(), gauges(3, 1)); err != nil || retrieved != 2 {
		t.Fatalf("got %v, credentials retrieved %d times; want 2", err, retrieved)
	}
	for _, got := range r.requests {
		signed, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL, bytes.NewReader(got.body))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Content-Encoding", "Content-Type", "User-Agent", "X-Prometheus-Remote-Write-Version"} {
			signed.Header.Set(name, got.header.Get(name))
		}
		sum := sha256.Sum256(got.body)
		err = v4.NewSigner().SignHTTP(t.Context(), credentials, signed, hex.EncodeToString(sum[:]), "aps", "eu-west-1", now)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := got.header.Get("Authorization"), signed.Header.Get("Authorization"); got != want {
			t.Errorf("got authorization %q, want %q", got, want)
		}
		if token := got.header.Get("X-Amz-Security-Token"); token != "session" {
			t.Errorf("got session token %q, want session", token)
		}
	}
	failure = errors.New("expired")
	if _, err := c.Write(t.Context(), gauges(3, 1)); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
	const want = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
	if got := remotewrite.ManagedURL("eu-west-1", "ws-1"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

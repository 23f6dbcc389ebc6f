package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"

	"github.com/insighthub/insighthub/cdk/local/events"
)

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func client(t *testing.T, s *events.Server) *eventbridge.Client {
	t.Helper()
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return eventbridge.New(eventbridge.Options{
		Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		RetryMaxAttempts: 1,
	})
}

func put(source, detail, bus string) types.PutEventsRequestEntry {
	return types.PutEventsRequestEntry{
		Source: &source, DetailType: aws.String("t"), Detail: &detail, EventBusName: &bus,
		Time: aws.Time(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
	}
}

func TestEventsAreLines(t *testing.T) {
	var lines bytes.Buffer
	c := client(t, events.New(t.Context(), events.Config{
		Buses: []string{"anomalies"}, Region: "eu-west-1", Account: "000000000000",
		Out: &lines, Now: time.Now,
	}))
	out, err := c.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{
		put("s", `{"a":1}`, "anomalies"), put("s", `[]`, "anomalies"), put("s", `{}`, "other"), put("", `{}`, ""),
		put("s", `{"a":2}`, "arn:aws:events:eu-west-1:000000000000:event-bus/anomalies"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, e := range out.Entries {
		codes = append(codes, aws.ToString(e.ErrorCode))
		if (e.EventId == nil) != (e.ErrorCode != nil) {
			t.Errorf("%v: want an id or an error", e)
		}
	}
	if got := strings.Join(codes, ","); got != ",MalformedDetail,InvalidArgument,InvalidArgument," || out.FailedEntryCount != 3 {
		t.Errorf("got %d failed, codes %s", out.FailedEntryCount, got)
	}
	written := strings.Split(strings.TrimSuffix(lines.String(), "\n"), "\n")
	var first map[string]any
	if err := json.Unmarshal([]byte(written[0]), &first); err != nil || len(written) != 2 {
		t.Fatalf("%q, %v", written, err)
	}
	if first["id"] != *out.Entries[0].EventId || first["source"] != "s" || first["detail-type"] != "t" ||
		first["time"] != "2026-01-02T03:04:05Z" {
		t.Errorf("%v", first)
	}
}

func TestLimits(t *testing.T) {
	c := client(t, events.New(t.Context(), events.Config{Buses: []string{"b"}, Out: failing{}, Now: time.Now}))
	eleven := make([]types.PutEventsRequestEntry, 11)
	for i := range eleven {
		eleven[i] = put("s", "{}", "b")
	}
	for name, entries := range map[string][]types.PutEventsRequestEntry{
		"too many": eleven, "none": {}, "too large": {put("s", `{"a":"`+strings.Repeat("x", 300_000)+`"}`, "b")},
	} {
		_, err := c.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: entries})
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != "ValidationException" {
			t.Errorf("%s: got %v, want ValidationException", name, err)
		}
	}
	out, err := c.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: eleven[:1]})
	if err != nil || aws.ToString(out.Entries[0].ErrorCode) != "InternalFailure" {
		t.Errorf("full disk: got %v, %v; want InternalFailure", out, err)
	}
	if _, err := c.ListEventBuses(t.Context(), &eventbridge.ListEventBusesInput{}); err == nil {
		t.Error("ListEventBuses: got no error")
	}
}

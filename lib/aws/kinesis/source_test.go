package kinesis_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestSource(t *testing.T) {
	packed := kinesis.AppendAggregate(nil, []kinesis.UserRecord{
		{PartitionKey: "a", Data: []byte("one")}, {PartitionKey: "b", Data: []byte("two")},
	})
	payload := []byte(strings.Replace(oneRecord, "AQID", base64.StdEncoding.EncodeToString(packed), 1))
	var s kinesis.Source
	for range 2 { // its memory is reused
		records, err := s.Records([]telemetry.Record{{Shard: "before"}}, payload)
		if err != nil || len(records) != 2 || records[0].Shard != "before" || records[1].Shard != "shardId-000000000006" {
			t.Fatal(records, err)
		}
		messages, err := s.Messages([][]byte{[]byte("before")}, records[1].Data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([][]byte{[]byte("before"), []byte("one"), []byte("two")}, messages); diff != "" {
			t.Errorf("messages differ (-want +got):\n%s", diff)
		}
	}
	if messages, err := s.Messages(nil, []byte("one")); err != nil || len(messages) != 1 || string(messages[0]) != "one" {
		t.Errorf("not aggregated: got %q, %v", messages, err)
	}
	if records, err := s.Records(nil, []byte("{}")); !errors.Is(err, telemetry.ErrInvalid) || len(records) > 0 {
		t.Errorf("not an event: got %v, %v, want telemetry.ErrInvalid", records, err)
	}
	for from, want := range map[telemetry.Sequence]string{
		"": `{"batchItemFailures":[]}`, "495": `{"batchItemFailures":[{"itemIdentifier":"495"}]}`,
	} {
		if got := string(s.Response(from)); got != want {
			t.Errorf("from %q: got %s, want %s", from, got, want)
		}
	}
}

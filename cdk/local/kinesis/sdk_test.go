package kinesis_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/insighthub/insighthub/cdk/local/kinesis"
)

func client(t *testing.T, endpoint string) *sdk.Client {
	t.Helper()
	return sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
}

// The shortest path: a stream is created and written with the SDK and read in process.
func TestSDKWritesInProcessReads(t *testing.T) {
	t.Parallel()
	s := kinesis.New(kinesis.Config{})
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	c := client(t, web.URL)
	create := &sdk.CreateStreamInput{StreamName: aws.String("telemetry"), ShardCount: aws.Int32(1)}
	if _, err := c.CreateStream(t.Context(), create); err != nil {
		t.Fatal(err)
	}
	in := &sdk.PutRecordsInput{StreamName: aws.String("telemetry")}
	for i := range 3 {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{
			PartitionKey: aws.String("gw-1"), Data: fmt.Appendf(nil, "record %d", i),
		})
	}
	put, err := c.PutRecords(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if *put.FailedRecordCount != 0 || len(put.Records) != 3 {
		t.Fatalf("put: %+v", put)
	}
	shards, err := s.ListShardInfo("telemetry")
	if err != nil || len(shards) != 1 {
		t.Fatalf("shards %v, error %v", shards, err)
	}
	got, end, err := s.Read("telemetry", shards[0].ID, "", 10, 1<<20)
	if err != nil || end || len(got) != 3 {
		t.Fatalf("read %d records, end %v, error %v", len(got), end, err)
	}
	for i, r := range got {
		want := fmt.Sprintf("record %d", i)
		if string(r.Data) != want || r.PartitionKey != "gw-1" || r.SequenceNumber != *put.Records[i].SequenceNumber {
			t.Errorf("record %d: %+v, want data %q, number %s", i, r, want, *put.Records[i].SequenceNumber)
		}
	}
}

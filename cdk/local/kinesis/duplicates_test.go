package kinesis_test

import (
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/insighthub/insighthub/cdk/local/kinesis"
	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
)

// A request that fails in the client after the server has executed it duplicates its
// records, because the SDK retries it: lib/aws/config says how that happened. With the
// functions' HTTP client and the SDK's retries this does not happen.
func TestClientOfFunctionsDuplicatesNothing(t *testing.T) {
	t.Parallel()
	s := kinesis.New(kinesis.Config{Limits: kinesis.Limits{WriteBytesPerSecond: -1, WriteRecordsPerSecond: -1}})
	if err := s.CreateStream("st", 1); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	c := sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: &web.URL, HTTPClient: awsconfig.NewHTTPClient(),
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
	const workers, calls, records = 4, 500, 3
	filler := make([]byte, 8<<10) // it happened only with bodies of several packets
	var writing sync.WaitGroup
	for w := range workers {
		writing.Go(func() {
			for i := range calls {
				in := &sdk.PutRecordsInput{StreamName: aws.String("st")}
				for r := range records {
					in.Records = append(in.Records, types.PutRecordsRequestEntry{
						PartitionKey: aws.String(fmt.Sprintf("%d/%d/%d", w, i, r)), Data: filler,
					})
				}
				if _, err := c.PutRecords(t.Context(), in); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	writing.Wait()

	if _, err := s.PutRecords("st", []kinesis.PutEntry{kinesis.NewPutEntry("end", nil)}, nil); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for after := ""; seen["end"] == 0; {
		got, _, err := s.Read("st", "shardId-000000000000", after, 10_000, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range got {
			seen[r.PartitionKey]++
			after = r.SequenceNumber
		}
	}
	if got, want := len(seen)-1, workers*calls*records; got != want {
		t.Errorf("%d different records, want %d", got, want)
	}
	duplicates := 0
	for _, n := range seen {
		if n > 1 {
			duplicates++
		}
	}
	if duplicates > 0 {
		t.Errorf("%d of %d records are duplicated, want none", duplicates, len(seen))
	}
}

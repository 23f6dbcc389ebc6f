// Command clock is the function that puts ticks on the stream, so that its consumers
// notice silence (docs/adr/0023). A schedule invokes it every minute; it ignores the event.
//
// Environment: STREAM_NAME; LOG_LEVEL; and what lambdahost.NewHost reads.
package main

import (
	"context"
	"math/rand/v2"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
)

func main() { lambdahost.Main(build) }

// build makes the function from its environment.
func build(_ context.Context, h *lambdahost.Host) (lambdahost.Function, error) {
	stream := h.Env.Required("STREAM_NAME")
	if err := h.Env.Err(); err != nil {
		return lambdahost.Function{}, err
	}
	producer, err := kinesis.NewProducer(kinesis.Config{
		Client: kinesis.NewClient(h.AWS), Stream: stream, Now: time.Now, Rand: rand.Float64,
	})
	if err != nil {
		return lambdahost.Function{}, err
	}
	shards := kinesis.NewShards(awskinesis.NewFromConfig(h.AWS), stream)
	return lambdahost.Function{Handler: &handler{shards: shards, stream: producer, log: h.Log, now: time.Now}}, nil
}

// Package kinesistest makes the payloads of a Kinesis event source mapping, for tests.
package kinesistest

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Shard and Stream are those of records that do not name any.
const (
	Shard  = telemetry.ShardID("shardId-000000000000")
	Stream = "arn:aws:kinesis:eu-west-1:000000000000:stream/telemetry"
)

// Payload returns the payload of an invocation, with arrival times in milliseconds.
func Payload(records []telemetry.Record) []byte {
	var b strings.Builder
	b.WriteString(`{"Records":[`)
	for i, r := range records {
		if i > 0 {
			b.WriteByte(',')
		}
		if r.Shard == "" {
			r.Shard = Shard
		}
		if r.Stream == "" {
			r.Stream = Stream
		}
		fmt.Fprintf(&b, `{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":%q,"sequenceNumber":%q,"data":%q,`+
			`"approximateArrivalTimestamp":%d.%03d},`+
			`"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"%s:%s","eventName":"aws:kinesis:record","awsRegion":"eu-west-1",`+
			`"invokeIdentityArn":"arn:aws:iam::000000000000:role/r","eventSourceARN":%q}`,
			r.PartitionKey, r.SequenceNumber, base64.StdEncoding.EncodeToString(r.Data), r.Arrival.Unix(), r.Arrival.UnixMilli()%1000,
			r.Shard, r.SequenceNumber, r.Stream)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

// Sequence returns a sequence number of the usual length. They are in the order of n.
func Sequence(n int) telemetry.Sequence { return telemetry.Sequence(fmt.Sprintf("49%054d", n)) }

// OneShard reports for each shard no parents and the range of all hash keys.
type OneShard struct{}

// Shard implements shardstate.Lineage.
func (OneShard) Shard(context.Context, string) (parents []string, firstHash, lastHash string, err error) {
	return nil, "0", "340282366920938463463374607431768211455", nil
}

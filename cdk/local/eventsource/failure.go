package eventsource

import (
	"encoding/json"
	"fmt"
	"time"
)

// The conditions under which records are discarded.
const (
	retriesExhausted  = "RetryAttemptsExhausted"
	recordAgeExceeded = "RecordAgeExceeded"
)

// failureRecord is the JSON document that Lambda writes to an S3 on-failure destination.
type failureRecord struct {
	RequestContext  requestContext   `json:"requestContext"`
	ResponseContext *responseContext `json:"responseContext,omitempty"`
	Version         string           `json:"version"`
	Timestamp       string           `json:"timestamp"`
	Batch           batchInfo        `json:"KinesisBatchInfo"`
	// Payload is the event of the invocation, JSON in a string.
	Payload string `json:"payload"`
}

type requestContext struct {
	RequestID   string `json:"requestId"`
	FunctionARN string `json:"functionArn"`
	Condition   string `json:"condition"`
	InvokeCount int    `json:"approximateInvokeCount"`
}

type responseContext struct {
	StatusCode      int     `json:"statusCode"`
	ExecutedVersion string  `json:"executedVersion"`
	FunctionError   *string `json:"functionError"`
}

type batchInfo struct {
	ShardID                         string `json:"shardId"`
	StartSequenceNumber             string `json:"startSequenceNumber"`
	EndSequenceNumber               string `json:"endSequenceNumber"`
	ApproximateArrivalOfFirstRecord string `json:"approximateArrivalOfFirstRecord"`
	ApproximateArrivalOfLastRecord  string `json:"approximateArrivalOfLastRecord"`
	BatchSize                       int    `json:"batchSize"`
	StreamARN                       string `json:"streamArn"`
}

// discarded is a run of consecutive records that a lane discards.
type discarded struct {
	shard     string
	items     []item
	condition string
	invokes   int
	last      Response // of the last invocation, if there was one
	payload   []byte
}

const failureTime = "2006-01-02T15:04:05.000Z07:00"

// object returns the object of the on-failure destination and its key.
func (d discarded) object(s *Settings, id func() string, now time.Time) (key string, data []byte, err error) {
	now = now.UTC()
	first, last := &d.items[0].record, &d.items[len(d.items)-1].record
	record := failureRecord{
		RequestContext: requestContext{
			RequestID: id(), FunctionARN: s.FunctionARN, Condition: d.condition, InvokeCount: d.invokes,
		},
		Version:   "1.0",
		Timestamp: now.Format(failureTime),
		Batch: batchInfo{
			ShardID:                         d.shard,
			StartSequenceNumber:             first.SequenceNumber,
			EndSequenceNumber:               last.SequenceNumber,
			ApproximateArrivalOfFirstRecord: first.Arrival.UTC().Format(failureTime),
			ApproximateArrivalOfLastRecord:  last.Arrival.UTC().Format(failureTime),
			BatchSize:                       len(d.items),
			StreamARN:                       s.StreamARN,
		},
		Payload: string(d.payload),
	}
	if d.invokes > 0 {
		response := &responseContext{StatusCode: 200, ExecutedVersion: "$LATEST"}
		if d.last.FunctionError != "" {
			response.FunctionError = &d.last.FunctionError
		}
		record.ResponseContext = response
	}
	data, err = json.Marshal(record)
	if err != nil {
		return "", nil, fmt.Errorf("encode failure record of shard %s: %w", d.shard, err)
	}
	key = fmt.Sprintf("aws/lambda/%s/%s/%s/%s-%s", s.ID, d.shard,
		now.Format("2006/01/02"), now.Format("2006-01-02T15.04.05"), id())
	return key, data, nil
}

package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxPooledBatches limits the batches whose memory is reused by the next invocation.
const maxPooledBatches = 256

// noPart stands for a record that is not aggregated.
const noPart = -1

// piece says where a batch came from.
type piece struct {
	record int // index into records
	part   int // index in an aggregated record, or noPart
	data   []byte

	gateway telemetry.GatewayID
	events  int // that it has
	// rejected are those of its events that can never be stored. refused is whether the database rejected any.
	rejected []rejectedEvent
	refused  bool
}

// rejectedEvent is an event by its index in the record, or part of a record.
type rejectedEvent struct {
	Event  int    `json:"event"`
	Reason string `json:"reason"`
}

// rejection says how many of the piece's events were rejected, and why the first of them.
func (p *piece) rejection() error {
	first := p.rejected[0]
	return fmt.Errorf("%w: %d of %d events, the first is event %d: %s",
		telemetry.ErrInvalid, len(p.rejected), p.events, first.Event, first.Reason)
}

// maxListed bounds the rejected events that a dead letter lists.
const maxListed = 1000

// poison is a piece, or a whole record, that can never be stored.
type poison struct {
	piece

	reason error
}

// invocation is the memory of one invocation.
type invocation struct {
	records  []telemetry.Record
	messages [][]byte
	poison   []poison

	// batches are those to write, pieces their origins. They are the first of pool,
	// whose batches are reused.
	pool    []*telemetry.Batch
	batches []*telemetry.Batch
	pieces  []piece

	deadLettered []poison

	taken  time.Time // when it began
	failed int       // index of the first record to be delivered again; len(records) if there is none
	reason error
}

func (v *invocation) reset() {
	if len(v.pool) > maxPooledBatches {
		clear(v.pool[maxPooledBatches:])
		v.pool = v.pool[:maxPooledBatches]
	}
	clear(v.poison)
	clear(v.deadLettered)
	v.records, v.messages, v.poison = v.records[:0], v.messages[:0], v.poison[:0]
	v.batches, v.pieces = v.batches[:0], v.pieces[:0]
	v.deadLettered, v.failed, v.reason = v.deadLettered[:0], 0, nil
}

// nextBatch returns a batch to decode into: the same one until addBatch is called.
func (v *invocation) nextBatch() *telemetry.Batch {
	if len(v.pool) == len(v.pieces) {
		v.pool = append(v.pool, new(telemetry.Batch))
	}
	return v.pool[len(v.pieces)]
}

// addBatch adds the batch that nextBatch has returned to those to write.
func (v *invocation) addBatch(p piece) {
	v.batches = append(v.batches, v.nextBatch())
	v.pieces = append(v.pieces, p)
}

// reject notes events that the writer rejected of the batches from first on.
func (v *invocation) reject(events []telemetry.RejectedEvent, first int) {
	for start := 0; start < len(events); {
		p := &v.pieces[first+events[start].Batch]
		early := p.rejected // before the write, in order
		p.refused = true
		written, next := 0, 0 // index in the batch, index in the record
		for ; start < len(events) && &v.pieces[first+events[start].Batch] == p; start++ {
			for ; written <= events[start].Event; next++ {
				if len(early) > 0 && early[0].Event == next {
					early = early[1:]
					continue
				}
				written++
			}
			p.rejected = append(p.rejected, rejectedEvent{next - 1, events[start].Reason})
		}
		slices.SortFunc(p.rejected, func(a, b rejectedEvent) int { return a.Event - b.Event })
	}
}

// arrived returns when the oldest record arrived on the stream, or 0 if that is not known.
func (v *invocation) arrived() telemetry.Micros {
	if len(v.records) == 0 || v.records[0].Arrival.IsZero() {
		return 0
	}
	return telemetry.MicrosOf(v.records[0].Arrival)
}

// rejected returns how many events were rejected, their neighbours not.
func (v *invocation) rejected() (n int) {
	for i := range v.pieces {
		n += len(v.pieces[i].rejected)
	}
	return n
}

// retry makes delivery start again at a record, or before it.
func (v *invocation) retry(record int, reason error) {
	if record < v.failed {
		v.failed, v.reason = record, reason
	}
}

// ages returns when the first of the batches was accepted by the API, and the newest
// event time in the oldest record, from which the latency of that record follows.
func (v *invocation) ages() (received, oldest telemetry.Micros) {
	for i, b := range v.batches {
		if b.Received != 0 && (received == 0 || b.Received < received) {
			received = b.Received
		}
		if v.pieces[i].record != v.pieces[0].record {
			continue
		}
		for _, t := range b.Time {
			oldest = max(oldest, t)
		}
	}
	return received, oldest
}

func (p poison) key(r *telemetry.Record) string {
	part := ""
	if p.part != noPart {
		part = fmt.Sprintf("-%d", p.part)
	}
	return fmt.Sprintf("poison/%s/%s-%s%s.json", r.Arrival.UTC().Format("2006/01/02"), r.Shard, r.SequenceNumber, part)
}

// body returns the dead letter.
func (p poison) body(r *telemetry.Record) []byte {
	listed := p.rejected[:min(len(p.rejected), maxListed)]
	body, err := json.Marshal(struct {
		Reason         string             `json:"reason"`
		Stream         string             `json:"stream"`
		Shard          telemetry.ShardID  `json:"shard"`
		SequenceNumber telemetry.Sequence `json:"sequence_number"`
		PartitionKey   string             `json:"partition_key"`
		Arrival        time.Time          `json:"arrival"`
		Data           []byte             `json:"data"`
		Rejected       []rejectedEvent    `json:"rejected,omitempty"`
	}{p.reason.Error(), r.Stream, r.Shard, r.SequenceNumber, r.PartitionKey, r.Arrival.UTC(), p.data, listed})
	if err != nil {
		// Only an arrival after the year 9999 cannot be encoded.
		return fmt.Appendf(nil, "{\"reason\":%q}", p.reason)
	}
	return body
}

// bytes returns the size of the records on the stream.
func (v *invocation) bytes() int {
	n := 0
	for i := range v.records {
		n += len(v.records[i].Data)
	}
	return n
}

package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxKeptBatches bounds the batches whose memory outlives an invocation.
const maxKeptBatches = 256

// noPart stands for a record that is not aggregated.
const noPart = -1

// piece says where a batch came from.
type piece struct {
	record int // index into records
	part   int // place in an aggregated record, or noPart
	data   []byte
}

// poison is a piece, or a whole record, that can never be stored.
type poison struct {
	record int
	part   int
	data   []byte
	reason error
}

// invocation is the memory of one invocation.
type invocation struct {
	records  []telemetry.Record
	messages [][]byte
	poison   []poison

	// pool are batches to use; the first len(pieces) of it are good and batches
	// is the same as the writer wants them.
	pool    []*telemetry.Batch
	batches []*telemetry.Batch
	pieces  []piece

	buried int // of the poison, what is among the dead letters

	failed int // index of the first record to be delivered again; len(records) if none is
	reason error
}

func (v *invocation) reset() {
	if len(v.pool) > maxKeptBatches {
		clear(v.pool[maxKeptBatches:])
		v.pool = v.pool[:maxKeptBatches]
	}
	clear(v.poison)
	v.records, v.messages, v.poison = v.records[:0], v.messages[:0], v.poison[:0]
	v.batches, v.pieces = v.batches[:0], v.pieces[:0]
	v.buried, v.failed, v.reason = 0, 0, nil
}

// next is a batch to decode into; it is given again until it is kept.
func (v *invocation) next() *telemetry.Batch {
	if len(v.pool) == len(v.pieces) {
		v.pool = append(v.pool, new(telemetry.Batch))
	}
	return v.pool[len(v.pieces)]
}

func (v *invocation) keep(p piece) {
	v.batches = append(v.batches, v.next())
	v.pieces = append(v.pieces, p)
}

// retry notes that delivery has to start again at a record or before it.
func (v *invocation) retry(record int, reason error) {
	if record < v.failed {
		v.failed, v.reason = record, reason
	}
}

// ages returns when the first of the good batches was accepted, and the newest
// event time in the oldest record: how long its last reading waited.
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

func (p poison) letter(r *telemetry.Record) []byte {
	body, err := json.Marshal(struct {
		Reason         string             `json:"reason"`
		Stream         string             `json:"stream"`
		Shard          telemetry.ShardID  `json:"shard"`
		SequenceNumber telemetry.Sequence `json:"sequence_number"`
		PartitionKey   string             `json:"partition_key"`
		Arrival        time.Time          `json:"arrival"`
		Data           []byte             `json:"data"`
	}{p.reason.Error(), r.Stream, r.Shard, r.SequenceNumber, r.PartitionKey, r.Arrival.UTC(), p.data})
	if err != nil {
		// Only an arrival after the year 9999 can do that.
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

package ledger

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/storelog"
)

// batch is one that a gateway sent and the API acknowledged.
type batch struct {
	newest      time.Time     // of its last sample, when that was read
	period      time.Duration // between two samples
	samples     int
	series      int // events of a sample
	sent, acked time.Time
}

func (b *batch) events() int { return b.samples * b.series }

// sighting is a response of the API that had a reading of that time as the latest one.
type sighting struct {
	newest time.Time
	at     time.Time // when the response was complete
}

// errIncomplete says that a batch was not followed to its end.
var errIncomplete = errors.New("the way of a batch is not complete")

// cloudStages follows each batch through the log of the store and the responses of the API.
//
// All batches are of one gateway, hence of one shard, in order: a batch was in the last
// invocation whose oldest record is not newer than the batch.
func cloudStages(batches []batch, lines []storelog.Line, seen []sighting) ([]Stage, error) {
	slices.SortFunc(batches, func(a, b batch) int { return a.newest.Compare(b.newest) })
	// A redelivered record has the same time; the first invocation stored it.
	slices.SortStableFunc(lines, func(a, b storelog.Line) int { return int(a.Oldest - b.Oldest) })
	lines = slices.CompactFunc(lines, func(a, b storelog.Line) bool { return a.Oldest == b.Oldest })
	slices.SortFunc(seen, func(a, b sighting) int { return a.at.Compare(b.at) })

	var read, acknowledged, taken, committed, visible, stored, whole []drive.Sample
	line, look := -1, 0
	for i := range batches {
		b := &batches[i]
		for line+1 < len(lines) && lines[line+1].Oldest <= b.newest.UnixMicro() {
			line++
		}
		for look < len(seen) && seen[look].newest.Before(b.newest) {
			look++
		}
		if line < 0 || look == len(seen) {
			return nil, fmt.Errorf("%w: that of %v, sent %v: in the store's log %t, seen in the API %t",
				errIncomplete, b.newest, b.sent, line >= 0, look < len(seen))
		}
		took, done := time.UnixMicro(lines[line].Taken), time.UnixMicro(lines[line].Committed)
		at := seen[look].at
		for s := range b.samples {
			readAt := b.newest.Add(-b.period * time.Duration(s))
			read = append(read, drive.Sample{Latency: b.sent.Sub(readAt), Weight: b.series})
			stored = append(stored, drive.Sample{Latency: done.Sub(readAt), Weight: b.series})
			whole = append(whole, drive.Sample{Latency: at.Sub(readAt), Weight: b.series})
		}
		acknowledged = append(acknowledged, drive.Sample{Latency: b.acked.Sub(b.sent), Weight: b.events()})
		taken = append(taken, drive.Sample{Latency: took.Sub(b.acked), Weight: b.events()})
		committed = append(committed, drive.Sample{Latency: done.Sub(took), Weight: b.events()})
		visible = append(visible, drive.Sample{Latency: at.Sub(done), Weight: b.events()})
	}
	stage := func(name, by string, samples []drive.Sample) Stage {
		return Stage{Name: name, By: by, Percentiles: drive.PercentilesOf(samples)}
	}
	return []Stage{
		stage("read → sent", "gateway", read),
		stage("sent → acknowledged (202)", "gateway", acknowledged),
		stage("acknowledged → taken from the stream", "gateway, store's log", taken),
		stage("taken → committed", "store's log", committed),
		stage("committed → visible in the API", "store's log, reader", visible),
		stage("**read → committed**", "", stored),
		stage("**read → visible in the API**", "", whole),
	}, nil
}

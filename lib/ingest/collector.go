package ingest

import (
	"math"
	"slices"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxListed is how many rejected events a response lists.
const maxListed = 100

// collector adds the accepted events to a batch and lists the rejected ones.
type collector struct {
	batch            *telemetry.Batch
	earliest, latest telemetry.Micros // the acceptable times

	index    int // of the next event
	rejected int
	listed   []indexedFault
	// rejectedAt are the indexes of all rejected events, in order.
	rejectedAt []int32
	byReason   [reasonCount]int
}

type indexedFault struct {
	index int
	fault fault
	// time is that of the event, if it is the reason. A fault is cleared for each event, and
	// has no place for it.
	time telemetry.Micros
}

func (c *collector) reset(earliest, latest telemetry.Micros) {
	c.earliest, c.latest = earliest, latest
	c.restart()
}

// restart drops all events that were received.
func (c *collector) restart() {
	c.batch.Reset()
	c.index, c.rejected, c.listed, c.rejectedAt = 0, 0, c.listed[:0], c.rejectedAt[:0]
	c.byReason = [reasonCount]int{}
}

// accept adds an event, unless its time is out of bounds.
func (c *collector) accept(device, metric uint32, t telemetry.Micros, value float64, q telemetry.Quality) {
	if r := c.checkTime(t); r != accepted {
		c.reject(fault{reason: r, member: timeMember}, t)
		return
	}
	c.index++
	c.batch.AppendIndexed(device, metric, t, value, q)
}

// reject counts the next event as rejected; t is its time, if that is the reason.
func (c *collector) reject(f fault, t telemetry.Micros) {
	if len(c.listed) < maxListed {
		c.listed = append(c.listed, indexedFault{c.index, f, t})
	}
	c.rejectedAt = append(c.rejectedAt, int32(c.index))
	c.index++
	c.rejected++
	c.byReason[f.reason]++
}

// rejectSome rejects the events of the batch for which why returns a fault, and drops them.
func (c *collector) rejectSome(why func(i int) (fault, bool)) {
	b, n, index, before := c.batch, 0, 0, c.rejectedAt
	var now []indexedFault
	for i := range b.Time {
		for len(before) > 0 && int(before[0]) == index {
			before, index = before[1:], index+1
		}
		if f, faulty := why(i); faulty {
			now = append(now, indexedFault{index: index, fault: f})
			c.byReason[f.reason]++
		} else {
			c.keep(i, n)
			n++
		}
		index++
	}
	if len(now) == 0 {
		return
	}
	c.cut(n)
	c.rejected += len(now)
	c.listed = append(c.listed, now...)
	slices.SortFunc(c.listed, func(a, b indexedFault) int { return a.index - b.index })
	c.listed = c.listed[:min(len(c.listed), maxListed)]
	for _, f := range now {
		c.rejectedAt = append(c.rejectedAt, int32(f.index))
	}
	slices.Sort(c.rejectedAt)
}

// keep moves event i of the batch to n, which is not after it.
func (c *collector) keep(i, n int) {
	if b := c.batch; n != i {
		b.Device[n], b.Metric[n] = b.Device[i], b.Metric[i]
		b.Time[n], b.Value[n], b.Quality[n] = b.Time[i], b.Value[i], b.Quality[i]
	}
}

// cut drops the events of the batch from n on.
func (c *collector) cut(n int) {
	b := c.batch
	b.Device, b.Metric = b.Device[:n], b.Metric[:n]
	b.Time, b.Value, b.Quality = b.Time[:n], b.Value[:n], b.Quality[:n]
}

func (c *collector) checkTime(t telemetry.Micros) reason {
	switch {
	case t > c.latest:
		return farFuture
	case t < c.earliest:
		return beforeRetention
	default:
		return accepted
	}
}

// validateBatch checks the times and values of a batch that the record decoder has
// filled, and drops the events that it rejects. The decoder has checked names, indexes
// and qualities; bad are the events that it has left out.
func (c *collector) validateBatch(bad []telemetry.RejectedEvent) {
	b, n := c.batch, 0
	rejectBad := func() {
		for len(bad) > 0 && bad[0].Event == c.index {
			c.reject(fault{reason: badName, text: []byte(bad[0].Reason)}, 0)
			bad = bad[1:]
		}
	}
	for i, t := range b.Time {
		if len(bad) > 0 {
			rejectBad()
		}
		value := b.Value[i]
		f := fault{reason: c.checkTime(t), member: timeMember}
		switch {
		case math.IsNaN(value) && b.Quality[i] == telemetry.Bad: // no value, as null in JSON
			b.Value[i] = math.NaN() // in one form
		case math.IsNaN(value) || math.IsInf(value, 0):
			f = fault{reason: notFinite, member: valueMember}
		}
		if f.reason != accepted {
			c.reject(f, t)
			continue
		}
		c.index++
		c.keep(i, n)
		n++
	}
	rejectBad()
	c.cut(n)
}

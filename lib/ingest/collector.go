package ingest

import (
	"math"

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
}

type indexedFault struct {
	index int
	fault fault
}

func (c *collector) reset(earliest, latest telemetry.Micros) {
	c.earliest, c.latest = earliest, latest
	c.restart()
}

// restart drops all events that were received.
func (c *collector) restart() {
	c.batch.Reset()
	c.index, c.rejected, c.listed = 0, 0, c.listed[:0]
}

// accept adds an event, unless its time is out of bounds.
func (c *collector) accept(device, metric uint32, t telemetry.Micros, value float64, q telemetry.Quality) {
	if r := c.checkTime(t); r != accepted {
		c.reject(fault{reason: r, member: timeMember})
		return
	}
	c.index++
	c.batch.AppendIndexed(device, metric, t, value, q)
}

// reject counts the next event as rejected.
func (c *collector) reject(f fault) {
	if len(c.listed) < maxListed {
		c.listed = append(c.listed, indexedFault{c.index, f})
	}
	c.index++
	c.rejected++
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
// and qualities.
func (c *collector) validateBatch() {
	b, n := c.batch, 0
	for i, t := range b.Time {
		value := b.Value[i]
		r := c.checkTime(t)
		m := timeMember
		if math.IsNaN(value) || math.IsInf(value, 0) {
			r, m = notFinite, valueMember
		}
		if r != accepted {
			c.reject(fault{reason: r, member: m})
			continue
		}
		c.index++
		if n != i {
			b.Device[n], b.Metric[n] = b.Device[i], b.Metric[i]
			b.Time[n], b.Value[n], b.Quality[n] = t, value, b.Quality[i]
		}
		n++
	}
	b.Device, b.Metric = b.Device[:n], b.Metric[:n]
	b.Time, b.Value, b.Quality = b.Time[:n], b.Value[:n], b.Quality[:n]
}

package ingest

import (
	"math"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxListed is how many rejected events an answer lists.
const maxListed = 100

// collector fills a batch with the events that are accepted and notes the
// others.
type collector struct {
	batch            *telemetry.Batch
	earliest, latest telemetry.Micros // the bounds of acceptable times

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

// restart forgets what was received.
func (c *collector) restart() {
	c.batch.Reset()
	c.index, c.rejected, c.listed = 0, 0, c.listed[:0]
}

// accept adds an event whose form is right, unless its time is out of bounds.
func (c *collector) accept(device, metric uint32, t telemetry.Micros, value float64, q telemetry.Quality) {
	if r := c.checkTime(t); r != accepted {
		c.reject(fault{reason: r, member: timeMember})
		return
	}
	c.index++
	c.batch.AppendIndexed(device, metric, t, value, q)
}

// reject notes the fault of the next event.
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

// review judges the times and values of a batch that a decoder has filled, and
// drops the events that do not hold. Names, indexes and qualities are the
// decoder's to check.
func (c *collector) review() {
	b, kept := c.batch, 0
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
		if kept != i {
			b.Device[kept], b.Metric[kept] = b.Device[i], b.Metric[i]
			b.Time[kept], b.Value[kept], b.Quality[kept] = t, value, b.Quality[i]
		}
		kept++
	}
	b.Device, b.Metric = b.Device[:kept], b.Metric[:kept]
	b.Time, b.Value, b.Quality = b.Time[:kept], b.Value[:kept], b.Quality[:kept]
}

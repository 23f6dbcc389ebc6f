package gateway

import (
	"github.com/insighthub/insighthub/lib/telemetry"
)

// queue holds what a viewer is still to get. It is bounded in events and in age: of each series the
// newest reading always stays, and what is older than maxAge goes as soon as a newer one of its
// series is there. So a viewer that was cut off gets the present when it is back, and not the past
// of its outage; the reading's time travels with it. Newest means published last.
//
// It is not safe for concurrent use.
type queue struct {
	maxAge    telemetry.Micros // 0: only the newest of each series
	maxEvents int              // above it only the newest of each series stay

	blocks     []*block
	carry      columns // what was taken out of blocks, older than those
	devices    []telemetry.DeviceName
	metrics    []telemetry.MetricName
	events     int
	superseded uint64

	seen  []uint32 // by series: the collapse that met it last
	round uint32
	spare columns
}

// push appends a block. Its events stay in order.
func (q *queue) push(b *block) {
	q.blocks = append(q.blocks, b)
	q.devices, q.metrics = b.devices, b.metrics
	if q.events += b.len(); q.events > q.maxEvents {
		q.collapse(0, false)
		q.maxEventsReached()
	}
}

// maxEventsReached makes room when a gateway has more series than the queue has events: the bound
// is then that number of series and as much again, so that collapses stay rare.
func (q *queue) maxEventsReached() {
	if q.events > q.maxEvents/2 {
		q.maxEvents = 2 * q.events
	}
}

func (q *queue) empty() bool { return q.events == 0 }

// single returns the only block if nothing else waits, and removes it: the frames of such a block
// are encoded once for all viewers. All of it must be young enough.
func (q *queue) single(now telemetry.Micros) *block {
	if len(q.blocks) != 1 || q.carry.len() != 0 || q.maxAge == 0 {
		return nil
	}
	b := q.blocks[0]
	for _, r := range b.read {
		if now-r > q.maxAge {
			return nil
		}
	}
	q.clear()
	return b
}

// take moves what is to be sent now to dst, at most limit events in the order in which they were
// published. dst is memory of the caller.
func (q *queue) take(dst *columns, now telemetry.Micros, s *selection, limit int) {
	q.filter(s)
	if q.maxAge == 0 || q.oldest() < now-q.maxAge {
		q.collapse(now-q.maxAge, q.maxAge > 0)
	} else {
		q.flatten()
	}
	dst.reset()
	if q.carry.len() <= limit {
		*dst, q.carry = q.carry, *dst
	} else {
		rest := &q.spare
		rest.reset()
		for i := range q.carry.len() {
			if i < limit {
				dst.appendOne(&q.carry, i)
			} else {
				rest.appendOne(&q.carry, i)
			}
		}
		q.carry, q.spare = *rest, q.carry
	}
	q.events = q.carry.len()
}

// oldest returns the earliest read time in the queue.
func (q *queue) oldest() telemetry.Micros {
	first := telemetry.Micros(1<<63 - 1)
	for _, r := range q.carry.read {
		first = min(first, r)
	}
	for _, b := range q.blocks {
		for _, r := range b.read {
			first = min(first, r)
		}
	}
	return first
}

// filter removes what the viewer has not subscribed to.
func (q *queue) filter(s *selection) {
	if s == nil {
		return
	}
	q.flatten()
	kept := &q.spare
	kept.reset()
	for i, d := range q.carry.device {
		if s.has(q.devices[d]) {
			kept.appendOne(&q.carry, i)
		}
	}
	q.carry, q.spare = *kept, q.carry
	q.events = q.carry.len()
}

// flatten moves the events of all blocks to carry.
func (q *queue) flatten() {
	for _, b := range q.blocks {
		q.carry.appendAll(&b.columns)
	}
	clear(q.blocks)
	q.blocks = q.blocks[:0]
}

// collapse removes each event for which a later one of its series is in the queue, but with
// keepYoung not those that were read at since or later.
func (q *queue) collapse(since telemetry.Micros, keepYoung bool) {
	q.flatten()
	if q.round++; q.round == 0 {
		clear(q.seen)
		q.round = 1
	}
	kept := &q.spare
	kept.reset()
	for i := q.carry.len() - 1; i >= 0; i-- {
		s := int(q.carry.series[i])
		if s >= len(q.seen) {
			q.seen = append(q.seen, make([]uint32, s+1-len(q.seen))...)
		}
		if q.seen[s] == q.round && (!keepYoung || q.carry.read[i] < since) {
			q.superseded++
			continue
		}
		q.seen[s] = q.round
		kept.appendOne(&q.carry, i)
	}
	kept.reverse()
	q.carry, q.spare = *kept, q.carry
	q.events = q.carry.len()
}

func (q *queue) clear() {
	clear(q.blocks)
	q.blocks = q.blocks[:0]
	q.carry.reset()
	q.events = 0
}

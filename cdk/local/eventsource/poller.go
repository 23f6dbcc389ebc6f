package eventsource

import (
	"sync"
	"time"
)

// readBytes bounds one read of a shard, as GetRecords is bounded.
const readBytes = 10 << 20

// poller reads one shard and distributes its records to lanes by partition key.
type poller struct {
	m     *Mapping
	shard string
	enc   *encoder
	lanes []*lane
	from  time.Time     // skip the records that arrived before
	room  chan struct{} // signaled when records are finished

	mu        sync.Mutex // guards the fields below and the lanes' queues
	after     string     // sequence number of the last record that was read
	caughtUp  bool       // the last read found no record
	ended     bool       // the shard is closed and all of it has been read
	progress  progress
	openCount int // records that were read and are not finished
	openBytes int
}

// item is a record in a lane.
type item struct {
	record  Record
	ordinal int // in progress
	size    int // bytes in a payload
	since   time.Time
}

func newPoller(m *Mapping, shard string, from time.Time) *poller {
	p := &poller{
		m: m, shard: shard, enc: newEncoder(&m.settings, shard), from: from,
		room: make(chan struct{}, 1),
	}
	c, resumed := m.checkpoints.Load(m.settings.ID, shard)
	if p.after = c.Sequence; resumed {
		p.from = time.Time{}
	}
	for range m.settings.Parallelization {
		p.lanes = append(p.lanes, &lane{p: p, wake: make(chan struct{}, 1)})
	}
	return p
}

// run reads until the shard ends or the mapping stops, and returns when the lanes have.
func (p *poller) run() {
	var lanes sync.WaitGroup
	for _, l := range p.lanes {
		lanes.Go(l.run)
	}
	ended := p.read()
	lanes.Wait()
	if !ended || p.openRecords() > 0 {
		return
	}
	c, _ := p.m.checkpoints.Load(p.m.settings.ID, p.shard)
	c.Finished = true
	p.m.checkpoints.Save(p.m.settings.ID, p.shard, c)
	p.m.log.Debug("shard finished", "shard", p.shard)
	p.m.forget(p.shard)
}

// read fills the lanes until the shard ends (true) or the mapping stops (false).
func (p *poller) read() (ended bool) {
	for errorsInARow := 0; ; {
		p.mu.Lock()
		err := p.fill()
		ended, after, full := p.ended, p.after, p.readAhead() == 0
		p.mu.Unlock()
		switch {
		case ended:
			return true
		case err != nil:
		case full:
			select {
			case <-p.m.stop.Done():
			case <-p.room:
			}
		default:
			err = p.m.stream.Wait(p.m.stop, p.m.settings.Stream, p.shard, after)
		}
		if p.m.stop.Err() != nil {
			return false
		}
		if err == nil {
			errorsInARow = 0
			continue
		}
		errorsInARow++
		p.m.log.Warn("read shard", "shard", p.shard, "after", after, "error", err)
		if !p.m.sleep(p.m.settings.Backoff.pause(errorsInARow)) {
			return false
		}
	}
}

// fill reads what the shard holds into the lanes' queues, up to the read-ahead.
// The poller calls it when there is something to read, and each lane before it cuts
// a batch that is not full: a batch depends on what the shard holds at that time,
// not on how far the poller's goroutine has come. Hold mu.
func (p *poller) fill() error {
	for !p.ended && p.m.stop.Err() == nil {
		n := p.readAhead()
		if n == 0 {
			return nil
		}
		records, end, err := p.m.stream.Read(p.m.settings.Stream, p.shard, p.after, n, readBytes)
		p.caughtUp = len(records) == 0 && !end && err == nil
		if err != nil {
			return err
		}
		if p.caughtUp {
			return nil
		}
		if len(records) > 0 {
			p.after = records[len(records)-1].SequenceNumber
			p.distribute(records)
		}
		p.ended = end
		for _, l := range p.lanes {
			l.signal()
		}
	}
	return nil
}

// readAhead returns how many records may be read. Each lane can have a full batch in
// flight and another one waiting. Hold mu.
func (p *poller) readAhead() int {
	maxCount, maxBytes := 2*len(p.lanes)*p.m.settings.BatchSize, 2*len(p.lanes)*payloadBytes
	if p.openBytes >= maxBytes {
		return 0
	}
	return min(maxCount-p.openCount, maxBatchSize)
}

// distribute appends records to the queues of their lanes. Hold mu: a lane must not
// cut a batch out of a part of them.
func (p *poller) distribute(records []Record) {
	now := p.m.now()
	for i := range records {
		r := &records[i]
		it := item{record: *r, size: p.enc.size(r), since: now, ordinal: p.progress.add(r.SequenceNumber)}
		p.openCount++
		p.openBytes += it.size
		if r.Arrival.Before(p.from) {
			p.finishHeld([]item{it})
			continue
		}
		l := p.lanes[laneOf(r.PartitionKey, len(p.lanes))]
		l.queue = append(l.queue, it)
	}
}

// finish marks records as finished and moves the checkpoint.
func (p *poller) finish(items []item) {
	if len(items) == 0 {
		return
	}
	p.mu.Lock()
	p.finishHeld(items)
	p.mu.Unlock()
	select {
	case p.room <- struct{}{}:
	default:
	}
}

// finishHeld is finish for a caller that holds mu.
func (p *poller) finishHeld(items []item) {
	sequence := ""
	for i := range items {
		if s := p.progress.finish(items[i].ordinal); s != "" {
			sequence = s
		}
		p.openBytes -= items[i].size
	}
	p.openCount -= len(items)
	if sequence != "" {
		// Under the lock: two lanes must not save in the wrong order.
		p.m.checkpoints.Save(p.m.settings.ID, p.shard, Checkpoint{Sequence: sequence})
	}
	p.m.finished.Add(int64(len(items)))
}

func (p *poller) openRecords() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.openCount
}

func (p *poller) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.openCount == 0 && p.caughtUp
}

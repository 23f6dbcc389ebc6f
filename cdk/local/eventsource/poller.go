package eventsource

import (
	"sync"
	"time"
)

// readBytes bounds one read of a shard, as GetRecords is bounded.
const readBytes = 10 << 20

// poller reads one shard and deals its records to lanes.
type poller struct {
	m     *Mapping
	shard string
	enc   *encoder
	lanes []*lane
	from  time.Time // skip what arrived before
	room  chan struct{}

	mu        sync.Mutex
	progress  progress
	openCount int
	openBytes int
	reading   bool
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
	for _, l := range p.lanes {
		l.close()
	}
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

// read deals records until the shard ends (true) or the mapping stops (false).
func (p *poller) read() (ended bool) {
	c, resumed := p.m.checkpoints.Load(p.m.settings.ID, p.shard)
	after, errorsInARow := c.Sequence, 0
	if resumed {
		p.from = time.Time{}
	}
	for {
		n := p.awaitRoom()
		if n == 0 {
			return false
		}
		p.setReading(true)
		records, end, err := p.m.stream.Read(p.m.stop, p.m.settings.Stream, p.shard, after, n, readBytes)
		p.setReading(false)
		if p.m.stop.Err() != nil {
			return false
		}
		if err != nil {
			errorsInARow++
			p.m.log.Warn("read shard", "shard", p.shard, "after", after, "error", err)
			if !p.m.sleep(p.m.settings.Backoff.pause(errorsInARow)) {
				return false
			}
			continue
		}
		errorsInARow = 0
		if len(records) > 0 {
			after = records[len(records)-1].SequenceNumber
			p.deal(records)
		}
		if end {
			return true
		}
	}
}

// awaitRoom returns how many records may be read, or 0 when the mapping stops. Each
// lane can have a full batch in flight and another one waiting.
func (p *poller) awaitRoom() int {
	lanes := len(p.lanes)
	maxCount, maxBytes := 2*lanes*p.m.settings.BatchSize, 2*lanes*payloadBytes
	for {
		p.mu.Lock()
		count, size := p.openCount, p.openBytes
		p.mu.Unlock()
		if count < maxCount && size < maxBytes {
			return min(maxCount-count, maxBatchSize)
		}
		select {
		case <-p.m.stop.Done():
			return 0
		case <-p.room:
		}
	}
}

// deal notes the records as open and hands them to their lanes.
func (p *poller) deal(records []Record) {
	now := p.m.now()
	for _, r := range records {
		it := item{record: r, size: p.enc.size(&r), since: now}
		p.mu.Lock()
		it.ordinal = p.progress.add(r.SequenceNumber)
		p.openCount++
		p.openBytes += it.size
		p.mu.Unlock()
		if r.Arrival.Before(p.from) {
			p.finish([]item{it})
			continue
		}
		p.lanes[laneOf(r.PartitionKey, len(p.lanes))].push(it)
	}
	// Only now, so that what was read together can be delivered together.
	for _, l := range p.lanes {
		l.signal()
	}
}

// finish marks records as finished and moves the checkpoint.
func (p *poller) finish(items []item) {
	if len(items) == 0 {
		return
	}
	p.mu.Lock()
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
		p.save(sequence)
	}
	p.mu.Unlock()
	p.m.finished.Add(int64(len(items)))
	select {
	case p.room <- struct{}{}:
	default:
	}
}

func (p *poller) save(sequence string) {
	p.m.checkpoints.Save(p.m.settings.ID, p.shard, Checkpoint{Sequence: sequence})
}

func (p *poller) openRecords() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.openCount
}

func (p *poller) setReading(on bool) {
	p.mu.Lock()
	p.reading = on
	p.mu.Unlock()
}

func (p *poller) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.openCount == 0 && p.reading
}

package eventsource

import "time"

// lane delivers the records of some partition keys of a shard, one invocation at a
// time.
type lane struct {
	p     *poller
	wake  chan struct{} // signaled after a read
	queue []item        // guarded by p.mu

	// These belong to run.
	batch    []item
	payload  []byte
	failures int // in a row, for the backoff
}

// part is a batch, or the rest of one, that is to be delivered.
type part struct {
	items    []item
	attempts int // that count against MaxRetries
	invokes  int
	last     Response
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run delivers until all records of an ended shard are finished, or the mapping stops.
func (l *lane) run() {
	for {
		batch, ok := l.nextBatch()
		if !ok || !l.deliver(batch) {
			return
		}
	}
}

// nextBatch waits for the next batch, and returns false when there will be none.
func (l *lane) nextBatch() ([]item, bool) {
	for {
		n, hold, ended := l.cutBatch()
		switch {
		case l.p.m.stop.Err() != nil || ended:
			return nil, false
		case n > 0:
			return l.batch, true
		}
		if !l.await(hold) {
			return nil, false
		}
	}
}

// cutBatch moves the next batch, of n records, out of the queue when it is due.
// Otherwise it returns how long to wait for more (negative: until a read), or that
// the shard has ended and the queue is empty.
func (l *lane) cutBatch() (n int, hold time.Duration, ended bool) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if len(l.queue) == 0 {
		return 0, -1, l.p.ended
	}
	s := &l.p.m.settings
	size := func(i int) int { return l.queue[i].size }
	n, full := cut(size, len(l.queue), s.BatchSize, payloadBytes)
	if !full && l.p.fill() == nil { // the poller repeats a failed read, and logs it
		n, full = cut(size, len(l.queue), s.BatchSize, payloadBytes)
	}
	if hold = holdFor(s.Window, full, l.p.ended, l.queue[0].since, l.p.m.now()); hold > 0 {
		return 0, hold, false
	}
	l.batch = append(l.batch[:0], l.queue[:n]...)
	rest := copy(l.queue, l.queue[n:])
	clear(l.queue[rest:])
	l.queue = l.queue[:rest]
	return n, 0, false
}

// await waits for a read, or for hold to pass if it is not negative.
func (l *lane) await(hold time.Duration) bool {
	var after <-chan time.Time
	if hold >= 0 {
		t := time.NewTimer(hold)
		defer t.Stop()
		after = t.C
	}
	select {
	case <-l.p.m.stop.Done():
		return false
	case <-l.wake:
	case <-after:
	}
	return true
}

// deliver invokes the function until every record of the batch is finished. It returns
// false when the mapping stopped before that.
func (l *lane) deliver(batch []item) bool {
	s := &l.p.m.settings
	todo := []part{{items: batch}} // the next part is the last element
	for len(todo) > 0 {
		if l.p.m.stop.Err() != nil {
			return false
		}
		b := &todo[len(todo)-1]
		arrival := func(i int) time.Time { return b.items[i].record.Arrival }
		if n := expired(arrival, len(b.items), s.MaxRecordAge, l.p.m.now()); n > 0 {
			if !l.discard(b, n, recordAgeExceeded) {
				return false
			}
		}
		if len(b.items) == 0 {
			todo = todo[:len(todo)-1]
			continue
		}
		o := l.invoke(b)
		if l.p.m.work.Err() != nil {
			return false
		}
		after := next(s, len(b.items), b.attempts, o)
		if after.done > 0 {
			l.p.finish(b.items[:after.done])
			b.items = b.items[after.done:]
			l.failures = 0
		}
		if after.discard > 0 && !l.discard(b, after.discard, retriesExhausted) {
			return false
		}
		b.attempts = after.attempts
		if after.split > 0 {
			second := *b
			second.items = b.items[after.split:]
			first := *b
			first.items = b.items[:after.split]
			todo = append(todo[:len(todo)-1], second, first)
		}
		if after.pause {
			l.failures++
			if !l.p.m.sleep(s.Backoff.pause(l.failures)) {
				return false
			}
		}
	}
	return true
}

// invoke invokes the function with a part and classifies the response.
func (l *lane) invoke(b *part) outcome {
	m := l.p.m
	l.payload = l.p.enc.appendEvent(l.payload[:0], b.items)
	r, err := m.invoker.Invoke(m.work, l.payload)
	o := classify(r, err, m.settings.ReportItemFailures, func(sequence string) (int, bool) {
		for i := range b.items {
			if b.items[i].record.SequenceNumber == sequence {
				return i, true
			}
		}
		return 0, false
	})
	if o.kind == notInvoked {
		m.notInvoked.Add(1)
		return o
	}
	b.invokes++
	b.last = Response{FunctionError: r.FunctionError}
	m.invocations.Add(1)
	m.sentBytes.Add(int64(len(l.payload)))
	if o.kind != succeeded {
		m.failed.Add(1)
		m.log.Debug("batch failed", "shard", l.p.shard, "records", len(b.items), "attempts", b.attempts,
			"error", r.FunctionError, "first_failed", o.first)
	}
	return o
}

// discard writes the first n records of a part to the on-failure destination and marks
// them as finished. It returns false when the mapping stopped before that.
func (l *lane) discard(b *part, n int, condition string) bool {
	m := l.p.m
	items := b.items[:n]
	m.log.Warn("records discarded", "shard", l.p.shard, "records", n, "condition", condition,
		"first_sequence_number", items[0].record.SequenceNumber, "invocations", b.invokes)
	if m.failures != nil {
		d := discarded{
			shard: l.p.shard, items: items, condition: condition, invokes: b.invokes, last: b.last,
			payload: l.p.enc.appendEvent(nil, items),
		}
		if !l.writeFailure(d) {
			return false
		}
	}
	m.discards.Add(int64(n))
	l.p.finish(items)
	b.items = b.items[n:]
	l.failures = 0
	return true
}

// writeFailure writes discarded records to the on-failure destination and retries until
// it succeeds. It returns false when the mapping stopped before that.
func (l *lane) writeFailure(d discarded) bool {
	m := l.p.m
	for tries := 1; ; tries++ {
		key, data, err := d.object(&m.settings, m.newID, m.now())
		if err == nil {
			err = m.failures.Put(m.work, key, data)
		}
		if err == nil {
			return true
		}
		m.log.Warn("write to on-failure destination", "key", key, "error", err)
		if !m.sleep(m.settings.Backoff.pause(tries)) {
			return false
		}
	}
}

package eventsource

import (
	"encoding/json"
	"hash/fnv"
	"time"
)

// The functions of this file are pure: they neither wait nor do I/O, and the time is an
// argument.

// laneOf returns the lane, of n, of a partition key.
func laneOf(partitionKey string, n int) int {
	if n == 1 {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(partitionKey))
	// FNV's low bits are those of the last bytes; keys that differ in one digit
	// would fall into few lanes.
	x := h.Sum32()
	x ^= x >> 16
	x *= 0x85ebca6b
	x ^= x >> 13
	x *= 0xc2b2ae35
	x ^= x >> 16
	return int(x % uint32(n))
}

// cut returns how many of the waiting records, given by the payload bytes of each,
// make up the next batch, and whether the batch is full: no other record fits.
func cut(sizes func(i int) int, waiting, batchSize, maxBytes int) (n int, full bool) {
	total := envelopeBytes
	for n < waiting && n < batchSize {
		size := sizes(n)
		if n > 0 && total+size > maxBytes {
			return n, true
		}
		total += size
		n++
	}
	return n, n == batchSize || total >= maxBytes
}

// holdFor returns how long a lane waits for more records before it invokes; 0 if it
// should not wait. since is when the first waiting record was read.
func holdFor(window time.Duration, full, last bool, since, now time.Time) time.Duration {
	if full || last || window == 0 {
		return 0
	}
	return max(0, window-now.Sub(since))
}

// expired returns how many of the first records are older than maxAge. Within a shard
// arrival times never decrease.
func expired(arrival func(i int) time.Time, n int, maxAge time.Duration, now time.Time) int {
	if maxAge == Infinite {
		return 0
	}
	k := 0
	for k < n && now.Sub(arrival(k)) > maxAge {
		k++
	}
	return k
}

// outcome is the classified result of an invocation.
type outcome struct {
	kind outcomeKind
	// first is the index of the first record that failed, if kind is partly.
	first int
}

type outcomeKind int

const (
	succeeded  outcomeKind = iota
	partly                 // the records from index first on failed
	failed                 // all records failed
	notInvoked             // throttled, or the invocation failed before the function ran
)

// classify decodes the response of a function. find returns the index of a sequence number in
// the batch.
func classify(r Response, err error, report bool, find func(sequence string) (int, bool)) outcome {
	switch {
	case err != nil:
		return outcome{kind: notInvoked}
	case r.FunctionError != "":
		return outcome{kind: failed}
	case !report || len(r.Payload) == 0:
		return outcome{kind: succeeded}
	}
	var batch struct {
		Failures []struct {
			Identifier *string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if json.Unmarshal(r.Payload, &batch) != nil {
		return outcome{kind: failed}
	}
	if len(batch.Failures) == 0 {
		return outcome{kind: succeeded}
	}
	first := -1
	for _, f := range batch.Failures {
		if f.Identifier == nil {
			return outcome{kind: failed}
		}
		i, ok := find(*f.Identifier)
		if !ok {
			return outcome{kind: failed}
		}
		if first < 0 || i < first {
			first = i
		}
	}
	return outcome{kind: partly, first: first}
}

// step is what follows an outcome. The batch's first done records are finished, the
// next discard records are discarded, and the rest is retried: split in two if
// split > 0, the first part having split records.
type step struct {
	done     int
	discard  int
	split    int
	attempts int // of the records that are retried
	pause    bool
}

// next decides what follows an outcome of a batch of n records that had failed attempts
// times before.
func next(s *Settings, n, attempts int, o outcome) step {
	switch o.kind {
	case succeeded:
		return step{done: n}
	case notInvoked:
		return step{attempts: attempts, pause: true}
	case partly:
		if o.first > 0 && s.BisectOnError {
			return step{done: o.first, attempts: attempts, pause: true}
		}
	case failed:
		o.first = 0
	}
	rest := n - o.first
	if s.BisectOnError && rest > 1 {
		return step{done: o.first, split: rest / 2, attempts: attempts, pause: true}
	}
	if s.MaxRetries != Infinite && attempts >= s.MaxRetries {
		return step{done: o.first, discard: rest}
	}
	return step{done: o.first, attempts: attempts + 1, pause: true}
}

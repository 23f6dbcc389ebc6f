package eventsource

// progress knows which records of a shard are finished and so how far the
// checkpoint may move: lanes finish in any order, the checkpoint is the sequence
// number below which nothing is open. It is not safe for concurrent use.
type progress struct {
	open []openRecord // in the order of the shard, from the first unfinished one
	base int          // ordinal of open[0]
}

type openRecord struct {
	sequence string
	finished bool
}

// add notes a record as read and returns its ordinal.
func (p *progress) add(sequence string) int {
	p.open = append(p.open, openRecord{sequence: sequence})
	return p.base + len(p.open) - 1
}

// finish marks a record and returns the sequence number that the checkpoint moves
// to, or "" when an earlier record is still open.
func (p *progress) finish(ordinal int) string {
	p.open[ordinal-p.base].finished = true
	n, sequence := 0, ""
	for n < len(p.open) && p.open[n].finished {
		sequence = p.open[n].sequence
		n++
	}
	clear(p.open[:n])
	p.open = p.open[n:]
	p.base += n
	return sequence
}

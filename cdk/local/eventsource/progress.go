package eventsource

// progress tracks which records of a shard are finished. Lanes finish in any order; the
// checkpoint is the sequence number up to which all are finished. It is not safe for
// concurrent use.
type progress struct {
	open []openRecord // in the order of the shard, from the first unfinished one
	base int          // ordinal of open[0]
}

type openRecord struct {
	sequence string
	finished bool
}

// add adds a record that was read and returns its ordinal.
func (p *progress) add(sequence string) int {
	p.open = append(p.open, openRecord{sequence: sequence})
	return p.base + len(p.open) - 1
}

// finish marks a record as finished and returns the sequence number that the checkpoint moves
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

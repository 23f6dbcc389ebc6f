package anomaly

// quiet detects a series that moves less than ever before: a sensor that hangs, or one
// whose noise is gone.
type quiet struct {
	moves  float64 // the mean distance between consecutive values
	least  float64 // the minimum of moves, which is followed slowly; 0 after a report
	newest float64 // the minimum in this epoch
}

const (
	quietTerm   = 50    // memory of moves, in samples
	quietFollow = 0.003 // weight of a sample in least
	quietPart   = 0.5   // moves below this part of least are reported
)

// push adds the distance between two consecutive values and reports whether the series
// has become quiet, once in an epoch.
func (q *quiet) push(move float64, seen uint32) bool {
	q.moves = approach(q.moves, move, weight(seen, quietTerm))
	if seen <= quietTerm {
		q.least, q.newest = q.moves, q.moves
		return false
	}
	if q.moves < q.newest {
		q.newest = q.moves
	}
	if q.moves >= q.least {
		return false
	}
	if seen <= warmUp {
		q.least = q.moves
		return false
	}
	if q.moves < float64(quietPart*q.least) {
		q.least = 0
		return true
	}
	q.least += float64(quietFollow * (q.moves - q.least))
	return false
}

func (q *quiet) forget() { q.least, q.newest = q.newest, q.moves }

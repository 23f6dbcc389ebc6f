package anomaly

// quiet watches for a series that moves less than it ever did: a sensor that
// hangs, or one whose noise is gone.
type quiet struct {
	moves  float64 // the mean distance between neighbours
	least  float64 // the least of moves, which follows slowly; 0 when it was reported
	newest float64 // the least in this epoch
}

const (
	quietTerm   = 50    // memory of moves
	quietFollow = 0.003 // weight of a sample in the least of moves
	quietPart   = 0.5   // of the least: less than that is silence
)

// push takes the distance between two neighbours and reports silence, once in an
// epoch.
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

package kpi

import "time"

// Totals is what machines did in a range of time.
type Totals struct {
	Sums
	// Downtime is the down time by reason, which may be empty.
	Downtime map[string]time.Duration
	// Windows is how many windows of machines the sums are of.
	Windows int64
}

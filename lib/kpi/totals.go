package kpi

import "time"

// Totals are the sums over machines and a range of time.
type Totals struct {
	Sums
	// Downtime is the down time by reason, which may be empty.
	Downtime map[string]time.Duration
	// Windows is the number of windows of machines in the sums.
	Windows int64
}

package live

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// The ledger's table has the stages in the order of an event's way, and the error of the clock.
func TestLedgerTable(t *testing.T) {
	total := totalsOf(t, 1500)
	total.Lost = 2
	path := total.ledger(Config{Rate: 10_000, Machines: 10, Phase: time.Minute}, "Chromium/1")
	var out bytes.Buffer
	path.Print(&out)
	last := 0
	for _, want := range []string{
		"## Straight to a browser", "10000 events/s of 100 series of one gateway, read together every 10ms, for 1m0s; Chromium/1",
		"; 100 events.", "| read → sent | 1.50 |", "| sent → received by the worker | 1.50 |", "| received → scored | 1.50 |",
		"| **read → scored** | 1.50 |", "| scored → drawn | 1.50 |", "±0.00 ms", "2 of 3 frames were lost",
	} {
		at := strings.Index(out.String(), want)
		if at < last {
			t.Errorf("got\n%s\nwant %q after what comes before it", out.String(), want)
		}
		last = max(last, at)
	}
}

package kpi

import (
	"testing"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// TestMachineEndsWithItsConfiguration: a machine with a configuration of its own that is
// silent ends with its stale limit (a minute) when that is removed or its gateway is
// revoked, not after an hour; one that reports goes on in its state.
func TestMachineEndsWithItsConfiguration(t *testing.T) {
	own := newMachine(t, full())
	many := newMachine(t, *with(func(c *MachineConfig) { c.Own = false }))
	for name, c := range map[string]struct {
		next *Machine
		// silent is the end of the last window of a device that is silent from 10 s on, in
		// seconds; reports that of one whose last reading is at 310 s, one each 50 s.
		silent, reports int
	}{
		"as before":                     {own, 605, 605},
		"removed, a rule for many":      {many, 70, 605},
		"removed, no rule":              {nil, 55, 55},
		"its gateway is revoked":        {own.Revoked(), 70, 370},
		"not read yet by a new process": {many.Provisional(), 605, 605},
	} {
		machines := machinesOf{"silent": own, "reports": own}
		s := newShard(t, Config{Machines: machines})
		last := map[telemetry.DeviceName]int{}
		production := 0.0
		for i := 0; i <= 610; i += 5 {
			at := noon + telemetry.Micros(i)*second
			b := &telemetry.Batch{Gateway: "gw", Site: "plant", Received: at}
			if i == 10 {
				for device := range machines {
					b.Append(telemetry.Event{Device: device, Metric: "state", Time: at})
				}
			} else if i%50 == 10 && i <= 310 { // the state is not repeated
				b.Append(telemetry.Event{Device: "reports", Metric: "temperature", Time: at})
			}
			if i == 65 {
				machines["silent"], machines["reports"] = c.next, c.next
			}
			s.Observe(b, at)
			for _, sample := range collect(s) {
				switch {
				case sample.Name == CalendarSeconds:
					last[sample.Device] = int((sample.Time - noon) / second)
				case sample.Name == ProductionSeconds && sample.Device == "reports":
					production += sample.Value
				}
			}
			if err := s.Decode(s.AppendBinary(nil)); err != nil {
				t.Fatal(err)
			}
		}
		if last["silent"] != c.silent || last["reports"] != c.reports {
			t.Errorf("%s: the last windows end at %v s, want %d and %d", name, last, c.silent, c.reports)
		}
		if want := 360.0; c.next != nil && production != want {
			t.Errorf("%s: %v s in production, want %v", name, production, want)
		}
	}
}

// TestMovedGateway: the windows of a gateway that moves are of the new site, also those of
// its silent machines.
func TestMovedGateway(t *testing.T) {
	machines := machinesOf{"silent": newMachine(t, full())}
	s := newShard(t, Config{Machines: machines})
	b := &telemetry.Batch{Gateway: "gw", Site: "old", Received: noon}
	b.Append(telemetry.Event{Device: "silent", Metric: "state", Time: noon})
	s.Observe(b, noon)
	s.Advance(noon + 7200*second)
	collect(s)
	b = &telemetry.Batch{Gateway: "gw", Site: "new", Received: noon + 7201*second}
	b.Append(telemetry.Event{Device: "other", Metric: "temperature", Time: noon + 7201*second})
	s.Observe(b, noon+7201*second)
	s.Advance(noon + 7300*second)
	windows := 0
	for _, sample := range collect(s) {
		if sample.Site != "new" {
			t.Fatalf("got %+v of the old site", sample)
		}
		if sample.Device == "silent" && sample.Name == CalendarSeconds {
			windows++
		}
	}
	if windows != 20 {
		t.Errorf("got %d windows of the silent machine at the new site, want 20", windows)
	}
}

package timescale

import "testing"

// FuzzKPIConfig: whatever an operator writes into the JSON columns is an error
// or shifts inside the week, in order.
func FuzzKPIConfig(f *testing.F) {
	f.Add(`{"0": {"element": "production"}, "3": {"element": "down", "reason": "fault"}}`, `null`)
	f.Add(`{}`, `{"mon": [["06:00", "14:00"], ["14:30", "24:00"]], "sun": [["00:00", "00:01"]]}`)
	f.Add(`{"1": {"element": "asleep"}}`, `{"mon": [["6:00", "-1:00"]]}`)
	f.Add(`{"+1": null}`, `{"mon": null}`)
	f.Fuzz(func(t *testing.T, states, planned string) {
		var c KPIConfig
		if c.parse(states, planned) != nil {
			return
		}
		for i, s := range c.Planned {
			if s.Start < 0 || s.Start >= s.End || s.End > 7*24*60*60*1e9 || i > 0 && s.Start < c.Planned[i-1].Start {
				t.Fatalf("shifts %v", c.Planned)
			}
		}
		for code, s := range c.States {
			if s.Element == "" {
				t.Fatalf("state %d without an element", code)
			}
		}
	})
}

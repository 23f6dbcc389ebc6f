package hub_test

import (
	"strings"
	"testing"
)

// metric returns a sample of the service: name, or name{label="value"}; 0 if there is none.
func (s *service) metric(t *testing.T, sample string) float64 {
	t.Helper()
	name, label, _ := strings.Cut(strings.TrimSuffix(sample, `"}`), "{")
	key, value, _ := strings.Cut(label, `="`)
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if key != "" && (m.GetLabel()[0].GetName() != key || m.GetLabel()[0].GetValue() != value) {
				continue
			}
			if m.GetCounter() != nil {
				return m.GetCounter().GetValue()
			}
			return m.GetGauge().GetValue()
		}
	}
	return 0
}

package metrics

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// NewGauge registers a gauge without labels and returns the function that sets it.
func NewGauge(registerer prometheus.Registerer, name, help string) (set func(float64), err error) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	if err := registerer.Register(gauge); err != nil {
		return nil, fmt.Errorf("metric %s: %w", name, err)
	}
	return gauge.Set, nil
}

package directory

import "github.com/insighthub/insighthub/lib/telemetry"

// CrowdedNames are all names of a gateway that has nine tenths of those that it may have.
// With more room for devices, or metrics, it has none of them here.
type CrowdedNames struct {
	Devices []telemetry.DeviceName `json:"devices,omitempty"`
	Metrics []telemetry.MetricName `json:"metrics,omitempty"`
}

// Crowded is from how many names on a gateway is crowded that may have limit of them.
func Crowded(limit int) int { return limit - limit/10 }

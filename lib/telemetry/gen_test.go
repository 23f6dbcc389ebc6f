package telemetry

import (
	"math"

	"pgregory.net/rapid"
)

// drawValue draws a value of a metric; each kind takes another path of the codec.
func drawValue(t *rapid.T, kind int) float64 {
	switch kind {
	case 0: // short decimals
		return float64(rapid.Int64Range(-1_000_000, 1_000_000).Draw(t, "k")) / 1000
	case 1: // integers up to the largest exact float64
		return float64(rapid.Int64Range(-(1<<53)-2, 1<<53+2).Draw(t, "count"))
	case 2: // decimals that fit few exponents
		return float64(rapid.Int64Range(-1<<52, 1<<52).Draw(t, "k")) / pow10(rapid.IntRange(0, maxExponent).Draw(t, "e"))
	case 3:
		return rapid.SampledFrom([]float64{
			0, math.Copysign(0, -1), math.NaN(), math.Float64frombits(0x7ff0000000000001), math.Inf(1), math.Inf(-1),
			math.MaxFloat64, math.SmallestNonzeroFloat64, 0.1, 1 << 50, 1<<50 - 0.25, -(1 << 53), 1e-9, 1e22,
		}).Draw(t, "special")
	default:
		return math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
	}
}

func drawName(t *rapid.T, label string) string {
	return rapid.StringMatching(`[a-z0-9 ./é漢-]{1,12}`).Draw(t, label)
}

// drawBatch draws a batch of 1 to maxEvents events.
func drawBatch(t *rapid.T, maxEvents int) *Batch {
	b := &Batch{Received: Micros(rapid.Int64().Draw(t, "received"))}
	if rapid.Bool().Draw(t, "stamped") {
		b.Gateway, b.Site = GatewayID(drawName(t, "gateway")), SiteID(drawName(t, "site"))
		b.Trace = rapid.StringMatching(`[ -~]{0,80}`).Draw(t, "trace")
	}
	drawNames := func(label string) []string {
		name := rapid.Custom(func(t *rapid.T) string { return drawName(t, label) })
		return rapid.SliceOfNDistinct(name, 1, 6, rapid.ID).Draw(t, label+"s")
	}
	devices, metrics := drawNames("device"), drawNames("metric")
	kinds := make([]int, len(metrics))
	for i := range kinds {
		kinds[i] = rapid.IntRange(0, 4).Draw(t, "kind")
	}
	regular := rapid.Bool().Draw(t, "regular")
	steady := rapid.Bool().Draw(t, "steady")
	at := Micros(rapid.Int64().Draw(t, "start"))
	for i := range rapid.IntRange(1, maxEvents).Draw(t, "events") {
		device, metric := i%len(devices), i/len(devices)%len(metrics)
		if !regular {
			device = rapid.IntRange(0, len(devices)-1).Draw(t, "device")
			metric = rapid.IntRange(0, len(metrics)-1).Draw(t, "metric")
		}
		q := Good
		if steady {
			at += 1000
		} else {
			at += Micros(rapid.Int64().Draw(t, "step"))
			q = Quality(rapid.IntRange(0, 2).Draw(t, "quality"))
		}
		b.Append(Event{DeviceName(devices[device]), MetricName(metrics[metric]), at, drawValue(t, kinds[metric]), q})
	}
	return b
}

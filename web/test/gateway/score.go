package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// event is one event as the page scored it: 64 bits as text, floats by their bits.
type event struct {
	Device string `json:"device"`
	Metric string `json:"metric"`
	Time   int64  `json:"time,string"`
	Value  string `json:"value"`
}

// scored is what the detector compiled for this machine makes of an event.
type scored struct {
	Score     string `json:"score"`
	Anomalous bool   `json:"anomalous"`
}

// score lets the native detector score events, each series from its first event on.
func score(w http.ResponseWriter, r *http.Request) {
	var events []event
	if err := json.NewDecoder(r.Body).Decode(&events); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	type series struct{ device, metric string }
	detectors := make(map[series]*anomaly.Detector)
	out := make([]scored, 0, len(events))
	for i, e := range events {
		bits, err := strconv.ParseUint(e.Value, 16, 64)
		if err != nil {
			http.Error(w, fmt.Sprintf("event %d: value %q", i, e.Value), http.StatusBadRequest)
			return
		}
		key := series{e.Device, e.Metric}
		if detectors[key] == nil {
			detectors[key] = new(anomaly.Detector)
		}
		s, anomalous := detectors[key].Push(e.Time, math.Float64frombits(bits))
		out = append(out, scored{fmt.Sprintf("%016x", math.Float64bits(s)), anomalous})
	}
	writeJSON(w, out)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone
}

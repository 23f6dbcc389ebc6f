package gateway

import (
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/gateway/video"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Limits of control messages.
const (
	maxControlBytes = 16 << 10
	maxDevices      = 1000 // in a subscription and in ready
	maxHz           = 1000
)

// The codes of errors on the control channel.
const (
	codeInvalid   = "invalid_message"
	codeUnknown   = "unknown_type"
	codeCamera    = "unknown_camera"
	codeNoVideo   = "no_video"
	codeTooMany   = "too_many_requests"
	codeInternal  = "internal"
	protocolLevel = 1
)

// request is a control message of a viewer, of any type.
type request struct {
	Type    string                 `json:"type"`
	Devices []telemetry.DeviceName `json:"devices"`
	MaxHz   *float64               `json:"max_hz"`
	ID      *uint32                `json:"id"`
	Seconds *float64               `json:"seconds"`
	Name    *string                `json:"name"`
}

// controlError is an error that the viewer is told of.
type controlError struct {
	Type    string  `json:"type"`
	Code    string  `json:"code"`
	Message string  `json:"message"`
	ID      *uint32 `json:"id,omitempty"`
}

func (e *controlError) Error() string { return e.Code + ": " + e.Message }

func controlErrorf(code string, id *uint32, format string, args ...any) *controlError {
	return &controlError{Type: "error", Code: code, Message: fmt.Sprintf(format, args...), ID: id}
}

// decodeRequest decodes and checks a control message; maxSeconds bounds history. The error is a
// *controlError.
func decodeRequest(text []byte, maxSeconds float64) (request, error) {
	var r request
	switch {
	case len(text) > maxControlBytes:
		return r, controlErrorf(codeInvalid, nil, "%d bytes, want at most %d", len(text), maxControlBytes)
	case !utf8.Valid(text):
		return r, controlErrorf(codeInvalid, nil, "not valid UTF-8")
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return request{}, controlErrorf(codeInvalid, nil, "want a JSON object with a member type, and the documented types of members")
	}
	switch r.Type {
	case "subscribe":
		if r.MaxHz != nil && (math.IsNaN(*r.MaxHz) || *r.MaxHz <= 0 || *r.MaxHz > maxHz) {
			return r, controlErrorf(codeInvalid, r.ID, "max_hz %v, want more than 0 and at most %d", *r.MaxHz, maxHz)
		}
		return r, checkDevices(r)
	case "history":
		switch {
		case r.ID == nil:
			return r, controlErrorf(codeInvalid, nil, "history without id")
		case r.Seconds == nil || math.IsNaN(*r.Seconds) || *r.Seconds <= 0 || *r.Seconds > maxSeconds:
			return r, controlErrorf(codeInvalid, r.ID, "seconds, want more than 0 and at most %v", maxSeconds)
		}
		return r, checkDevices(r)
	case "unsubscribe", "stats", "cameras", "camera":
		return r, nil
	case "":
		return r, controlErrorf(codeInvalid, r.ID, "no member type")
	default:
		return r, controlErrorf(codeUnknown, r.ID, "no such type; want subscribe, unsubscribe, history, stats, cameras or camera")
	}
}

func checkDevices(r request) error {
	if len(r.Devices) > maxDevices {
		return controlErrorf(codeInvalid, r.ID, "%d devices, want at most %d, or null for all", len(r.Devices), maxDevices)
	}
	for i, name := range r.Devices {
		if telemetry.ValidName(name) != nil {
			return controlErrorf(codeInvalid, r.ID, "device %d is not a valid name: want 1 to %d bytes without control characters",
				i, telemetry.MaxNameBytes)
		}
	}
	return nil
}

type ready struct {
	Type         string                 `json:"type"`
	Gateway      telemetry.GatewayID    `json:"gateway"`
	Version      int                    `json:"version"`
	Devices      []telemetry.DeviceName `json:"devices"`       // the first maxDevices
	DevicesTotal int                    `json:"devices_total"` // of the gateway
	Cameras      []video.Info           `json:"cameras"`
}

type historyDone struct {
	Type   string `json:"type"`
	ID     uint32 `json:"id"`
	Events int    `json:"events"`
	Frames int    `json:"frames"`
	Done   bool   `json:"done"`
}

// Stats are the counters of one viewer, since its connection began. They are the gateway's own: the
// stack counts sends that it rejected as sent.
type Stats struct {
	// Delivered counts the events that were handed to the live channel; the viewer sees from gaps of
	// seq which frames were lost after that.
	Delivered uint64 `json:"delivered"`
	Frames    uint64 `json:"frames"`
	Bytes     uint64 `json:"bytes"`
	// Superseded counts events that were not sent, because a newer one of their series was there
	// before the channel had room.
	Superseded uint64 `json:"superseded"`
	// Refused counts events that the channel rejected.
	Refused    uint64 `json:"refused"`
	Heartbeats uint64 `json:"heartbeats"`
	Clocks     uint64 `json:"clock_responses"`
	History    uint64 `json:"history_events"`
	Restarts   uint64 `json:"ice_restarts"`
}

type statsMessage struct {
	Type string `json:"type"`
	Stats
	Video *video.Stats `json:"video,omitempty"`
}

package ingest

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// bodyError says why a whole request is rejected. Its detail is written for the client.
type bodyError struct {
	status int
	kind   problem.Type
	detail string
}

func (e *bodyError) Error() string { return string(e.kind) + ": " + e.detail }

// reject returns a bodyError; kind is the last part of the problem's type.
func reject(status int, kind, format string, args ...any) *bodyError {
	return &bodyError{status, problem.TypeOf(kind), fmt.Sprintf(format, args...)}
}

func badEnvelope(format string, args ...any) *bodyError {
	return reject(http.StatusBadRequest, "bad-envelope", format, args...)
}

func tooManyEvents(limit int) *bodyError {
	return reject(http.StatusRequestEntityTooLarge, "too-many-events", "The request has more than %d events, which is the limit.", limit)
}

// reason says why an event is rejected.
type reason uint8

const (
	accepted reason = iota
	notObject
	unknownMember
	duplicateMember
	missing
	wantString
	wantNumber
	wantTime
	notFinite
	notJSON
	numberAsText
	nullNotBad
	notExact
	emptyName
	longName
	controlCharacter
	badUTF8
	badName
	badQuality
	badTime
	badTimeInteger
	leapSecond
	farFuture
	beforeRetention
	tooManyDevices
	tooManyMetrics
	reasonCount // of reasons, accepted included
)

// fault is why an event is rejected: a reason, and the member that has the fault. It
// holds no rendered text, so that it costs the valid events nothing.
type fault struct {
	reason reason
	member member
	// text is the start of what the client wrote: the name of an unknown member, or a value
	// that is not valid.
	text []byte
}

// code returns the name of the reason, which stays the same when its text changes.
func (r reason) code() string {
	switch r {
	case notObject:
		return "not_an_object"
	case unknownMember:
		return "unknown_member"
	case duplicateMember:
		return "duplicate_member"
	case missing:
		return "missing"
	case wantString, wantNumber, wantTime, numberAsText:
		return "wrong_type"
	case notJSON:
		return "not_json"
	case notFinite:
		return "value_not_finite"
	case nullNotBad:
		return "value_missing"
	case notExact:
		return "value_not_exact"
	case emptyName, longName, controlCharacter, badUTF8, badName:
		return "bad_name"
	case badQuality:
		return "bad_quality"
	case badTime, badTimeInteger, leapSecond:
		return "bad_time"
	case farFuture:
		return "time_in_future"
	case beforeRetention:
		return "time_too_old"
	case tooManyDevices:
		return "too_many_devices"
	case tooManyMetrics:
		return "too_many_metrics"
	case accepted, reasonCount:
	}
	return "invalid"
}

// maxQuoted bounds how much of a client's own text a response repeats.
const maxQuoted = 64

// faultText renders f for the client.
func (h *Handler) faultText(f indexedFault) string {
	switch {
	case f.fault.reason == notObject:
		return "want an object"
	case f.fault.reason == unknownMember:
		return "unknown member " + strconv.Quote(clip(string(f.fault.text)))
	case f.fault.reason == duplicateMember:
		return "duplicate member " + strconv.Quote(f.fault.member.String())
	case f.fault.reason == badName:
		return string(f.fault.text)
	case f.fault.reason == notJSON && f.fault.member == noMember:
		return clip(string(f.fault.text)) + " is not valid JSON"
	default:
		return f.fault.member.String() + ": " + h.memberFault(f)
	}
}

func (h *Handler) memberFault(f indexedFault) string {
	switch f.fault.reason {
	case missing:
		return "missing"
	case wantString:
		return "want a string"
	case wantNumber:
		return `want a number, true, false, or null with quality "bad"`
	case numberAsText:
		return "want a number: send " + string(f.fault.text) + " without quotes"
	case wantTime:
		return "want an RFC 3339 string or an integer of microseconds since 1970"
	case notJSON:
		return notJSONText(f.fault)
	case notFinite:
		return "want a finite number" + orNull
	case nullNotBad:
		return `null is accepted with quality "bad" only`
	case notExact:
		return string(f.fault.text) + " cannot be held exactly by a float64: whole numbers are exact up to 9007199254740992 (2^53)"
	case emptyName:
		return "empty"
	case longName:
		return "longer than " + strconv.Itoa(maxNameBytes) + " bytes"
	case controlCharacter:
		return "contains a control character"
	case badUTF8:
		return "not valid UTF-8"
	case badQuality:
		return `want "good", "uncertain" or "bad"`
	case badTime:
		return "not an RFC 3339 time" + h.unitHint(f)
	case badTimeInteger:
		return "want an integer of microseconds since 1970, in 64 bits" + h.unitHint(f)
	case leapSecond:
		return "leap seconds are not supported: send :59 or the next :00"
	case farFuture:
		return "more than " + h.config.MaxFuture.String() + " ahead of the platform's clock" + h.unitHint(f)
	case beforeRetention:
		return "older than the retention of " + strconv.Itoa(h.config.RetentionDays) + " days" + h.unitHint(f)
	case tooManyDevices:
		return nameLimitText("devices", h.config.DevicesPerGateway)
	case tooManyMetrics:
		return nameLimitText("metrics", h.config.MetricsPerGateway)
	case accepted, notObject, unknownMember, duplicateMember, badName, reasonCount:
	}
	return "invalid"
}

const orNull = `, or null with quality "bad" when there is no value`

// notJSONText says what was written in place of a value, such as NaN or 0x1F.
func notJSONText(f fault) string {
	text := clip(string(f.text))
	if f.member != valueMember {
		return text + " is not valid JSON"
	}
	switch strings.ToLower(strings.TrimLeft(text, "+-")) {
	case "nan", "inf", "infinity", "none", "nil", "undefined":
		return text + " is not valid JSON: want a finite number" + orNull
	}
	return text + " is not a number of JSON"
}

func nameLimitText(plural string, limit int) string {
	return fmt.Sprintf("new, and the gateway has its %d %s already: use one of them, or delete one that is not needed", limit, plural)
}

// unitHint says in which other unit the time of a rejected event would be acceptable.
func (h *Handler) unitHint(f indexedFault) string {
	n := int64(f.time)
	if len(f.fault.text) > 0 {
		x, err := strconv.ParseFloat(string(f.fault.text), 64)
		if err != nil || !(x > -1<<63 && x < 1<<63) {
			return ""
		}
		n = int64(x)
		if x == math.Trunc(x) && h.collector.checkTime(telemetry.Micros(n)) == accepted {
			return ": " + clip(string(f.fault.text)) + " looks like microseconds: send an integer without quotes, point or exponent"
		}
	}
	unit, at := telemetry.GuessUnit(n, h.collector.earliest, h.collector.latest)
	if unit == "" {
		return ""
	}
	return fmt.Sprintf(": %d looks like %s; times are microseconds since 1970: %d?", n, unit, at)
}

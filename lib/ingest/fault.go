package ingest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/insighthub/insighthub/lib/problem"
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
	emptyName
	longName
	controlCharacter
	badUTF8
	badQuality
	badTime
	badTimeInteger
	leapSecond
	farFuture
	beforeRetention
)

// fault is why an event is rejected: a reason, and the member that has the fault. It
// holds no text, so that it costs the valid events nothing.
type fault struct {
	reason reason
	member member
	// name is that of an unknown member.
	name []byte
}

// maxQuoted bounds how much of a client's own text a response repeats.
const maxQuoted = 64

// faultText renders f for the client.
func (h *Handler) faultText(f fault) string {
	switch f.reason {
	case notObject:
		return "want an object"
	case unknownMember:
		name := f.name
		if len(name) > maxQuoted {
			name = name[:maxQuoted]
		}
		return "unknown member " + strconv.Quote(strings.ToValidUTF8(string(name), "\uFFFD"))
	case duplicateMember:
		return "duplicate member " + strconv.Quote(f.member.String())
	default:
		return f.member.String() + ": " + h.memberFault(f)
	}
}

func (h *Handler) memberFault(f fault) string {
	switch f.reason {
	case missing:
		return "missing"
	case wantString:
		return "want a string"
	case wantNumber:
		return "want a number"
	case wantTime:
		return "want an RFC 3339 string or an integer of microseconds since 1970"
	case notFinite:
		return "want a finite number"
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
		return "not an RFC 3339 time"
	case badTimeInteger:
		return "want an integer of microseconds since 1970, in 64 bits"
	case leapSecond:
		return "leap seconds are not supported: send :59 or the next :00"
	case farFuture:
		return "more than " + h.config.MaxFuture.String() + " ahead of the platform's clock"
	case beforeRetention:
		return "older than the retention of " + strconv.Itoa(h.config.RetentionDays) + " days"
	case accepted, notObject, unknownMember, duplicateMember:
	}
	return "invalid"
}

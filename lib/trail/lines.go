package trail

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxLineBytes limits a line; the limits of an entry's texts are checked on writing.
const maxLineBytes = 4 << 20

// line is an entry in the form of GET /v1/audit?format=ndjson.
type line struct {
	Seq      int64            `json:"seq"`
	Time     time.Time        `json:"time"`
	Actor    string           `json:"actor"`
	Action   Action           `json:"action"`
	Object   string           `json:"object"`
	Site     telemetry.SiteID `json:"site"`
	Detail   string           `json:"detail"`
	Previous string           `json:"previous"`
	Hash     string           `json:"hash"`
}

// ParseLine reads one entry in the form of GET /v1/audit?format=ndjson: a JSON object
// with the members seq, time (RFC 3339, whole microseconds), actor, action, object,
// site, detail, previous and hash (hexadecimal). Other members are ignored: the
// hash does not cover them. The error wraps telemetry.ErrInvalid.
func ParseLine(text []byte) (Entry, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return Entry{}, fmt.Errorf("audit trail: %w: not a valid entry: %w", telemetry.ErrInvalid, err)
	}
	e := Entry{
		Seq: l.Seq, Time: telemetry.MicrosOf(l.Time), Actor: l.Actor, Action: l.Action, Object: l.Object, Site: l.Site, Detail: l.Detail,
	}
	previous, err1 := ParseHash(l.Previous)
	hash, err2 := ParseHash(l.Hash)
	if err := errors.Join(err1, err2); err != nil {
		return Entry{}, fmt.Errorf("audit trail: entry %d: %w", l.Seq, err)
	}
	// The hash covers whole microseconds: a finer part could be changed unnoticed.
	if !e.Time.Time().Equal(l.Time) {
		return Entry{}, fmt.Errorf("audit trail: entry %d: %w: time %s: want whole microseconds", l.Seq, telemetry.ErrInvalid, l.Time)
	}
	e.Previous, e.Hash = previous, hash
	return e, nil
}

// ParseHash reads 64 hexadecimal digits. The error wraps telemetry.ErrInvalid.
func ParseHash(text string) (h Hash, err error) {
	if n, err := hex.Decode(h[:], []byte(text[:min(len(text), 2*len(h))])); err != nil || n != len(h) || len(text) != 2*len(h) {
		return Hash{}, fmt.Errorf("hash %.80q: %w: want %d hexadecimal digits", text, telemetry.ErrInvalid, 2*len(h))
	}
	return h, nil
}

// ReadLines calls each with the entries of r, one per line; empty lines are skipped. It
// stops at the first error: of r, of a line, whose number it names, or of each.
func ReadLines(r io.Reader, each func(Entry) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLineBytes)
	for n := 1; lines.Scan(); n++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		e, err := ParseLine(text)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("audit trail: read: %w", err)
	}
	return nil
}

package trail

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/jsonscan"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxLineBytes limits a line; the limits of an entry's texts are checked on writing.
const maxLineBytes = 4 << 20

// fields are the members of an entry in the form of GET /v1/audit?format=ndjson, in the memory of
// the line where that is possible.
type fields struct {
	seq                                                       int64
	time                                                      time.Time
	actor, action, object, site, detail, previousHex, hashHex []byte
	previous, hash                                            Hash

	// memory holds texts that had escape sequences; lastHex and last are the hash of the line before.
	memory, lastHex []byte
	last            Hash
}

// next forgets the line, for the next one.
func (f *fields) next() { *f = fields{memory: f.memory[:0], lastHex: f.hashHex, last: f.hash} }

// text reads a string, without an allocation if it can; false: parse reads the line, or says what is
// wrong with it.
func (f *fields) text(scan *jsonscan.Scanner) ([]byte, bool) {
	if scan.Pos >= len(scan.Src) || scan.Src[scan.Pos] != '"' {
		return nil, false
	}
	start := scan.Pos + 1
	rest := scan.Src[start:]
	n := jsonscan.Plain(rest)
	if n < len(rest) && rest[n] == '"' {
		scan.Pos = start + n + 1
		return rest[:n], utf8.Valid(rest[:n])
	}
	at := len(f.memory)
	out, end := jsonscan.Unescape(f.memory, scan.Src, start)
	if end < 0 {
		return nil, false
	}
	raw := scan.Src[start : end-1]
	for _, c := range raw {
		if c < ' ' {
			return nil, false
		}
	}
	f.memory, scan.Pos = out, end
	return out[at:], utf8.Valid(raw)
}

// names are the members that the hash covers, and the hashes. Their bits tell which were read.
func (f *fields) member(name []byte) (to *[]byte, bit uint) {
	switch string(name) {
	case "actor":
		return &f.actor, 1
	case "action":
		return &f.action, 2
	case "object":
		return &f.object, 3
	case "site":
		return &f.site, 4
	case "detail":
		return &f.detail, 5
	case "previous":
		return &f.previousHex, 6
	case "hash":
		return &f.hashHex, 7
	case "time":
		return nil, 8
	case "seq":
		return nil, 9
	default:
		return nil, 0
	}
}

// canonical reads a line as the platform writes it, without a search for names, and reports whether
// it is one.
func (f *fields) canonical(text []byte) bool {
	scan := jsonscan.Scanner{Src: text}
	literal := func(want string) bool {
		rest := scan.Src[scan.Pos:]
		if len(rest) < len(want) || string(rest[:len(want)]) != want {
			return false
		}
		scan.Pos += len(want)
		return true
	}
	if !literal(`{"seq":`) {
		return false
	}
	raw, err := scan.Number()
	if err != nil {
		return false
	}
	if f.seq, err = strconv.ParseInt(string(raw), 10, 64); err != nil || !literal(`,"time":`) {
		return false
	}
	raw, ok := f.text(&scan)
	if !ok || f.time.UnmarshalText(raw) != nil {
		return false
	}
	for _, member := range [...]struct {
		name string
		to   *[]byte
	}{
		{`,"actor":`, &f.actor},
		{`,"action":`, &f.action},
		{`,"object":`, &f.object},
		{`,"site":`, &f.site},
		{`,"detail":`, &f.detail},
		{`,"previous":`, &f.previousHex},
		{`,"hash":`, &f.hashHex},
	} {
		if !literal(member.name) {
			return false
		}
		if *member.to, ok = f.text(&scan); !ok {
			return false
		}
	}
	return literal("}") && scan.Pos == len(text)
}

// parse reads a line. A member that is repeated is an error: two readers could see two entries.
func (f *fields) parse(text []byte) error {
	if f.canonical(text) {
		return f.check()
	}
	*f = fields{lastHex: f.lastHex, last: f.last}
	scan := jsonscan.Scanner{Src: text}
	seen := uint(0)
	err := scan.Object(func(name []byte) (err error) {
		to, bit := f.member(name)
		if bit == 0 {
			return scan.Skip()
		}
		if seen&(1<<bit) != 0 {
			return fmt.Errorf("member %s is repeated", name)
		}
		seen |= 1 << bit
		var raw []byte
		if to != nil {
			*to, err = scan.Text()
			return err
		}
		if string(name) == "time" {
			if raw, err = scan.Text(); err == nil {
				err = f.time.UnmarshalText(raw)
			}
			return err
		}
		if raw, err = scan.Number(); err == nil {
			f.seq, err = strconv.ParseInt(string(raw), 10, 64)
		}
		return err
	})
	if err == nil {
		err = scan.End()
	}
	if err != nil {
		return fmt.Errorf("audit trail: %w: not a valid entry: %w", telemetry.ErrInvalid, err)
	}
	return f.check()
}

// check reads the hashes and checks the time.
func (f *fields) check() error {
	var err error
	if len(f.lastHex) > 0 && bytes.Equal(f.previousHex, f.lastHex) {
		f.previous = f.last
	} else {
		err = parseHash(&f.previous, f.previousHex)
	}
	if err := errors.Join(err, parseHash(&f.hash, f.hashHex)); err != nil {
		return fmt.Errorf("audit trail: entry %d: %w", f.seq, err)
	}
	// The hash covers whole microseconds: a finer part could be changed unnoticed.
	if !telemetry.MicrosOf(f.time).Time().Equal(f.time) {
		return fmt.Errorf("audit trail: entry %d: %w: time %s: want whole microseconds", f.seq, telemetry.ErrInvalid, f.time)
	}
	return nil
}

// digest computes the hash of the entry; memory is overwritten and returned.
func (f *fields) digest(memory []byte) (Hash, []byte) {
	b := append(memory[:0], f.previous[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(f.seq))
	b = binary.BigEndian.AppendUint64(b, uint64(telemetry.MicrosOf(f.time)))
	for _, text := range [...][]byte{f.actor, f.action, f.object, f.site, f.detail} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
	}
	return sha256.Sum256(b), b
}

// ParseLine reads one entry in the form of GET /v1/audit?format=ndjson: a JSON object
// with the members seq, time (RFC 3339, whole microseconds), actor, action, object,
// site, detail, previous and hash (hexadecimal). Other members are ignored: the
// hash does not cover them. The error wraps telemetry.ErrInvalid.
func ParseLine(text []byte) (Entry, error) {
	var f fields
	if err := f.parse(text); err != nil {
		return Entry{}, err
	}
	return Entry{
		Seq: f.seq, Time: telemetry.MicrosOf(f.time), Actor: string(f.actor), Action: Action(f.action), Object: string(f.object),
		Site: telemetry.SiteID(f.site), Detail: string(f.detail), Previous: f.previous, Hash: f.hash,
	}, nil
}

// AppendLine appends an entry in the form that ParseLine reads, with a line feed.
func AppendLine(b []byte, e *Entry) ([]byte, error) {
	raw, err := json.Marshal(DocumentOf(*e))
	return append(append(b, raw...), '\n'), err
}

// DocumentOf returns an entry in the form that ParseLine reads.
func DocumentOf(e Entry) Document {
	return Document{e.Seq, e.Time.Time(), e.Actor, e.Action, e.Object, e.Site, e.Detail, e.Previous.String(), e.Hash.String()}
}

// Document is an entry as JSON.
type Document struct {
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

// ParseHash reads 64 hexadecimal digits. The error wraps telemetry.ErrInvalid.
func ParseHash(text string) (h Hash, err error) {
	err = parseHash(&h, []byte(text))
	return h, err
}

func parseHash(h *Hash, text []byte) error {
	if len(text) == hex.EncodedLen(len(h)) {
		if _, err := hex.Decode(h[:], text); err == nil {
			return nil
		}
	}
	*h = Hash{}
	return fmt.Errorf("hash %.80q: %w: want %d hexadecimal digits", text, telemetry.ErrInvalid, hex.EncodedLen(len(h)))
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

package trail

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Anchor is the head of a chain at a time, stored where the writers of the chain have no
// access. Its JSON form is {"seq":…,"hash":"…","time":"…"}.
type Anchor struct {
	Seq  int64
	Hash Hash
	Time time.Time
}

type anchorDocument struct {
	Seq  int64     `json:"seq"`
	Hash string    `json:"hash"`
	Time time.Time `json:"time"`
}

// MarshalJSON implements json.Marshaler.
func (a Anchor) MarshalJSON() ([]byte, error) {
	return json.Marshal(anchorDocument{a.Seq, a.Hash.String(), a.Time.UTC()})
}

// UnmarshalJSON implements json.Unmarshaler. The error wraps telemetry.ErrInvalid if the
// document is not a valid anchor.
func (a *Anchor) UnmarshalJSON(raw []byte) error {
	var d anchorDocument
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	hash, err := ParseHash(d.Hash)
	if err != nil {
		return fmt.Errorf("anchor of entry %d: %w", d.Seq, err)
	}
	if d.Seq < 1 {
		return fmt.Errorf("anchor: %w: entry %d", telemetry.ErrInvalid, d.Seq)
	}
	*a = Anchor{d.Seq, hash, d.Time}
	return nil
}

// seqDigits is the width of the number in a name, so that names sort by number.
const seqDigits = 19

// Name returns a name with seq and hash, such as "0000000000000000042-5a0f….json": a list
// of names is sufficient to verify a chain.
func (a Anchor) Name() string { return fmt.Sprintf("%0*d-%s.json", seqDigits, a.Seq, a.Hash) }

// ParseAnchorName is the inverse of Name. The error wraps telemetry.ErrInvalid.
func ParseAnchorName(name string) (Anchor, error) {
	stem, ok1 := strings.CutSuffix(name, ".json")
	digits, hex, ok2 := strings.Cut(stem, "-")
	seq, err := strconv.ParseInt(digits, 10, 64)
	if !ok1 || !ok2 || err != nil || seq < 1 || len(digits) != seqDigits {
		return Anchor{}, fmt.Errorf("anchor %.120q: %w: want <seq>-<hash>.json", name, telemetry.ErrInvalid)
	}
	hash, err := ParseHash(hex)
	if err != nil {
		return Anchor{}, fmt.Errorf("anchor %.120q: %w", name, err)
	}
	return Anchor{Seq: seq, Hash: hash}, nil
}

// ReadAnchors reads a sequence of JSON anchors from r.
func ReadAnchors(r io.Reader) ([]Anchor, error) {
	var anchors []Anchor
	for d := json.NewDecoder(r); ; {
		var a Anchor
		switch err := d.Decode(&a); {
		case errors.Is(err, io.EOF):
			return anchors, nil
		case err != nil:
			return nil, fmt.Errorf("anchors: %w: %w", telemetry.ErrInvalid, err)
		}
		anchors = append(anchors, a)
	}
}

// AddAnchor adds a hash that the chain must have at an entry. Two hashes of one entry are a
// *BrokenError: no chain can have both.
func (v *Verifier) AddAnchor(a Anchor) error {
	if known, ok := v.Anchors[a.Seq]; ok && known != a.Hash {
		return &BrokenError{a.Seq, fmt.Sprintf("two anchors have the hashes %s and %s: the trail was rewritten in between", known, a.Hash)}
	}
	if v.Anchors == nil {
		v.Anchors = make(map[int64]Hash)
	}
	v.Anchors[a.Seq] = a.Hash
	return nil
}

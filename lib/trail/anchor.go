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

// Anchor is the head that a chain had at a time, kept where who can write the chain
// can not write. It is stored as {"seq":…,"hash":"…","time":"…"}.
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

// UnmarshalJSON implements json.Unmarshaler. The error wraps telemetry.ErrInvalid
// when the document is no anchor.
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

// seqDigits makes names sort as numbers do.
const seqDigits = 19

// Name says seq and hash, so that a list of names is all that is needed to verify:
// "0000000000000000042-5a0f….json".
func (a Anchor) Name() string { return fmt.Sprintf("%0*d-%s.json", seqDigits, a.Seq, a.Hash) }

// ParseAnchorName reads what Name writes. The error wraps telemetry.ErrInvalid.
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

// ReadAnchors reads the anchors' documents from r, one after the other.
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

// AddAnchor has v compare an entry with a hash that is known from elsewhere. Two
// hashes of one entry are a *BrokenError: no chain can have both.
func (v *Verifier) AddAnchor(a Anchor) error {
	if known, ok := v.Anchors[a.Seq]; ok && known != a.Hash {
		return &BrokenError{a.Seq, fmt.Sprintf("was kept elsewhere with two hashes, %s and %s: the trail was written anew between", known, a.Hash)}
	}
	if v.Anchors == nil {
		v.Anchors = make(map[int64]Hash)
	}
	v.Anchors[a.Seq] = a.Hash
	return nil
}

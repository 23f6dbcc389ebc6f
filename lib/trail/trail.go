// Package trail chains the entries of the audit trail by their hashes, so that a changed,
// removed or inserted entry is detected.
//
// # The hash
//
// SHA-256 over the previous entry's hash (32 bytes; zeros before the first), the
// sequence number and the time (each 8 bytes, big endian; the time in
// microseconds since the Unix epoch), and actor, action, object, site and detail,
// each as its length in bytes (4 bytes, big endian) and its UTF-8 text.
//
// A chain proves that the entries before one are those from which its hash was computed.
// It does not prove that no entries are missing at the end, or that the chain was not
// rewritten as a whole: that takes a hash that is stored elsewhere, an Anchor.
package trail

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Hash is a SHA-256 digest.
type Hash [sha256.Size]byte

// String returns h in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Action is what was done, as "<kind of object>.<verb>", such as "gateway.register".
type Action string

// Entry records who did what to which object.
type Entry struct {
	// Seq counts from 1 without gaps. The store sets it and the hashes.
	Seq  int64
	Time telemetry.Micros
	// Actor is the subject of the caller's token, or "" if nobody was authenticated.
	Actor  string
	Action Action
	// Object is a path such as "sites/plant-1/gateways/gw-1".
	Object string
	// Site is the site of the object, or "" for the platform.
	Site telemetry.SiteID
	// Detail is a JSON object with the change. It never contains a secret.
	Detail   string
	Previous Hash
	Hash     Hash
}

// Seal sets e's number and hashes: e is entry seq and follows the entry with the hash previous.
func (e *Entry) Seal(seq int64, previous Hash) {
	e.Seq, e.Previous = seq, previous
	e.Hash = e.digest()
}

func (e *Entry) digest() Hash {
	b := make([]byte, 0, 256+len(e.Detail))
	b = append(b, e.Previous[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Seq))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time))
	for _, text := range []string{e.Actor, string(e.Action), e.Object, string(e.Site), e.Detail} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
	}
	return sha256.Sum256(b)
}

// BrokenError names the first entry at which the chain is broken.
type BrokenError struct {
	Seq    int64
	Reason string
}

// Error describes the break.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("audit trail: entry %d: %s", e.Seq, e.Reason)
}

// Verifier checks a chain entry by entry. The zero value starts at the first entry.
type Verifier struct {
	seq  int64
	hash Hash
	// open: the hash of entry seq is not known, and Anchors has that of the next.
	open bool
	// Anchors are the hashes that the chain must have, by entry.
	Anchors map[int64]Hash
}

// StartAfter makes the entry after seq, whose hash is given, the next one.
func (v *Verifier) StartAfter(seq int64, hash Hash) { v.seq, v.hash, v.open = seq, hash, false }

// StartAt makes the entry of the anchor the next one: it must have the anchor's hash. What was
// before is not verified.
func (v *Verifier) StartAt(a Anchor) error {
	v.seq, v.hash, v.open = a.Seq-1, Hash{}, true
	return v.AddAnchor(a)
}

// Next verifies the next entry. The error is a *BrokenError; the entries after it cannot
// be verified.
func (v *Verifier) Next(e Entry) error {
	if err := v.follows(e.Seq, e.Previous); err != nil {
		return err
	}
	if e.digest() != e.Hash {
		return changed(e.Seq)
	}
	if err := v.anchored(e.Seq, e.Hash); err != nil {
		return err
	}
	v.StartAfter(e.Seq, e.Hash)
	return nil
}

func changed(seq int64) error {
	return &BrokenError{seq, "the hash does not match the content: the entry was changed"}
}

// follows checks that an entry follows the last one.
func (v *Verifier) follows(seq int64, previous Hash) error {
	switch {
	case seq != v.seq+1:
		return &BrokenError{v.seq + 1, fmt.Sprintf("is missing: the next is entry %d", seq)}
	case previous != v.hash && !v.open:
		return &BrokenError{seq, fmt.Sprintf("follows %s, but entry %d has the hash %s", previous, v.seq, v.hash)}
	default:
		return nil
	}
}

// anchored checks an entry's hash against its anchor.
func (v *Verifier) anchored(seq int64, hash Hash) error {
	if anchor, ok := v.Anchors[seq]; ok && anchor != hash {
		return &BrokenError{seq, fmt.Sprintf("has the hash %s, but its anchor has %s: the trail was rewritten", hash, anchor)}
	}
	return nil
}

// Head returns the number and the hash of the last verified entry.
func (v *Verifier) Head() (int64, Hash) { return v.seq, v.hash }

// End returns a *BrokenError if there are anchors after the last entry: the trail was
// truncated.
func (v *Verifier) End() error {
	last := slices.Max(slices.AppendSeq([]int64{v.seq}, maps.Keys(v.Anchors)))
	if last > v.seq {
		return &BrokenError{v.seq + 1, fmt.Sprintf("is missing: there is an anchor of entry %d", last)}
	}
	return nil
}

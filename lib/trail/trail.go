// Package trail is the audit trail: entries that are chained by their hashes, so
// that one that was changed, removed or put in between is found.
//
// # The hash
//
// SHA-256 over the previous entry's hash (32 bytes; zeros before the first), the
// sequence number and the time (each 8 bytes, big endian; the time in
// microseconds since the Unix epoch), and actor, action, object, site and detail,
// each as its length in bytes (4 bytes, big endian) and its UTF-8 text.
//
// A chain proves that what stands before an entry is what stood there when its
// hash was made. It does not prove that the last entries are all there: for that
// a hash has to be kept elsewhere, and Verify takes it as an anchor.
package trail

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Hash is a SHA-256.
type Hash [sha256.Size]byte

// String returns h in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Action says what was done, as "<kind of object>.<verb>", such as "gateway.register".
type Action string

// Entry is one fact: who did what to what.
type Entry struct {
	// Seq counts from 1 without a gap. The store sets it, and the hashes.
	Seq  int64
	Time telemetry.Micros
	// Actor is the subject of the caller's token, or "" when nobody was authenticated.
	Actor  string
	Action Action
	// Object is what it was done to: a path such as "sites/plant-1/gateways/gw-1".
	Object string
	// Site is the plant that it concerns, or "" for the platform.
	Site telemetry.SiteID
	// Detail is a JSON object with what changed. It never holds a secret.
	Detail   string
	Previous Hash
	Hash     Hash
}

// Seal sets e's place in the chain, after the entry with that number and hash.
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

// BrokenError names the first entry at which the chain does not hold.
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
	// Anchors are hashes known from elsewhere, by their entries' numbers.
	Anchors map[int64]Hash
}

// Next checks the entry that follows. The error is a *BrokenError; the chain
// can not be followed beyond it.
func (v *Verifier) Next(e Entry) error {
	switch {
	case e.Seq != v.seq+1:
		return &BrokenError{v.seq + 1, fmt.Sprintf("is missing: the next is entry %d", e.Seq)}
	case e.Previous != v.hash:
		return &BrokenError{e.Seq, fmt.Sprintf("follows %s, but entry %d has the hash %s", e.Previous, v.seq, v.hash)}
	case e.digest() != e.Hash:
		return &BrokenError{e.Seq, "its content does not have its hash: it was changed"}
	}
	if anchor, ok := v.Anchors[e.Seq]; ok && anchor != e.Hash {
		return &BrokenError{e.Seq, fmt.Sprintf("has the hash %s, but %s was kept elsewhere: the trail was written anew", e.Hash, anchor)}
	}
	v.seq, v.hash = e.Seq, e.Hash
	return nil
}

// Head returns the number and the hash of the last entry that was checked.
func (v *Verifier) Head() (int64, Hash) { return v.seq, v.hash }

// End reports an anchor beyond the last entry: entries were cut off.
func (v *Verifier) End() error {
	var missing []error
	for seq := range v.Anchors {
		if seq > v.seq {
			missing = append(missing, &BrokenError{v.seq + 1, fmt.Sprintf("is missing: entry %d was kept elsewhere", seq)})
		}
	}
	return errors.Join(missing...)
}

package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// receipts is how many segments have receipts: these expire with the states of consumers, and are
// stored again while they are among the newest.
const receipts = 12

// Archive is the bucket of the archive, in which nothing is replaced or deleted.
type Archive interface {
	Anchors
	Get(ctx context.Context, key string) ([]byte, error)
}

// Receipts is where whoever removes archived entries from the trail learns of them.
type Receipts interface {
	PutIfAbsent(ctx context.Context, key string, body []byte, contentType string) error
}

// ArchiveConfig configures a TrailArchiveCheck.
type ArchiveConfig struct {
	API      API
	Token    string // as of ChainConfig
	Archive  Archive
	Receipts Receipts
	Now      func() time.Time
	// Months is for how many whole months after its own a month stays in the trail; 0: for ever.
	Months int
	// MaxEntries limits a segment, which is in memory. Default 100,000.
	MaxEntries int64
	// Budget limits the time for reading a segment from the trail. Default 60 s.
	Budget time.Duration
}

// TrailArchiveCheck verifies the archived part of the trail: that its segments follow each other, the
// newest against the stored heads, and of the others another one in each run. Then, if a month
// is old enough, it writes the next segment, reads it back, verifies it, and stores a receipt.
// A segment is a month, or a part of it.
func TrailArchiveCheck(c ArchiveConfig) Check {
	c.MaxEntries, c.Budget = cmp.Or(c.MaxEntries, 100_000), cmp.Or(c.Budget, time.Minute)
	return func(ctx context.Context) []Finding {
		const check = "trail: archive"
		segments, err := readSegments(ctx, c.Archive)
		if err != nil {
			return []Finding{broken(check, err)}
		}
		written, err := c.next(ctx, segments)
		if err != nil {
			return []Finding{broken(check, err)}
		}
		if written.Last > 0 {
			segments = append(segments, written)
		}
		n := len(segments)
		if n == 0 {
			return []Finding{{Check: check, Result: Pass, Found: "no month is old enough to be archived"}}
		}
		// The newest: a self-check before may have ended between the object and its receipt.
		for _, i := range []int{n - 1, int(c.Now().Unix()/3600) % n} {
			if err := c.verify(ctx, segments, i); err != nil {
				return []Finding{broken(check, fmt.Errorf("%s: %w", segments[i].Key(), err))}
			}
		}
		for _, s := range segments[max(n-receipts, 0):] {
			err = c.Receipts.PutIfAbsent(ctx, s.Receipt(), []byte("{}\n"), "application/json")
			if err != nil && !errors.Is(err, telemetry.ErrConflict) {
				return []Finding{broken(check, err)}
			}
		}
		f := Finding{Check: check, Result: Pass}
		f.Found = fmt.Sprintf("%d objects with the entries 1 to %d follow each other", n, segments[n-1].Last)
		if written.Last > 0 {
			f.Found += fmt.Sprintf("; the entries from %d on were archived now", written.First)
		}
		return []Finding{f}
	}
}

// readSegments returns the segments of the archive. A gap or a fork between them is a
// *trail.BrokenError.
func readSegments(ctx context.Context, archive Anchors) (segments []trail.Segment, err error) {
	last := int64(0)
	for after := ""; ; {
		keys, err := archive.Keys(ctx, trail.SegmentsPrefix, after, anchorsPage)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			s, err := trail.ParseSegmentKey(key)
			if err != nil {
				return nil, err
			}
			if s.First != last+1 {
				return nil, &trail.BrokenError{
					Seq: last + 1, Reason: "is missing in the archive, or is in two objects: the next has the key " + key,
				}
			}
			segments, last, after = append(segments, s), s.Last, key
		}
		if len(keys) < anchorsPage {
			return segments, nil
		}
	}
}

// verifier returns a verifier of segment i with the heads that were stored in it.
func (c ArchiveConfig) verifier(ctx context.Context, segments []trail.Segment, i int) (*trail.Verifier, error) {
	v := &trail.Verifier{}
	if i > 0 {
		v.StartAfter(segments[i-1].Last, segments[i-1].Hash)
	}
	seq, _ := v.Head()
	_, _, err := readAnchors(ctx, c.Archive, v, seq, math.MaxInt)
	return v, err
}

// verify reads the object of segment i and verifies it.
func (c ArchiveConfig) verify(ctx context.Context, segments []trail.Segment, i int) error {
	v, err := c.verifier(ctx, segments, i)
	if err != nil {
		return err
	}
	body, err := c.Archive.Get(ctx, segments[i].Key())
	if err != nil {
		return err
	}
	if err := VerifySegment(bytes.NewReader(body), v); err != nil {
		return err
	}
	if seq, hash := v.Head(); seq != segments[i].Last || hash != segments[i].Hash {
		return &trail.BrokenError{Seq: seq, Reason: fmt.Sprintf("is the last of the object, with the hash %s: its key has others", hash)}
	}
	return nil
}

// next writes the next segment, if its month is old enough.
func (c ArchiveConfig) next(ctx context.Context, segments []trail.Segment) (trail.Segment, error) {
	if c.Months == 0 {
		return trail.Segment{}, nil
	}
	v, err := c.verifier(ctx, segments, len(segments))
	if err != nil {
		return trail.Segment{}, err
	}
	before, _ := v.Head()
	now := c.Now().UTC()
	p := &part{
		verifier: v, max: c.MaxEntries,
		until: time.Date(now.Year(), now.Month()-time.Month(c.Months), 1, 0, 0, 0, 0, time.UTC),
	}
	for start := c.Now(); !p.whole; {
		at, _ := v.Head()
		got, err := c.API.get(ctx, fmt.Sprintf("/v1/audit?format=ndjson&limit=%d&after=%d", trailPage, at), c.Token)
		if err != nil {
			return trail.Segment{}, err
		}
		if got.status == http.StatusGone {
			return trail.Segment{}, nil // the trail begins later than the archive ends: the check of the chain says so
		}
		if got.status != http.StatusOK {
			return trail.Segment{}, fmt.Errorf("read the trail after entry %d: %v", at, got)
		}
		if err := trail.ReadLines(bytes.NewReader(got.body), p.add); err != nil {
			return trail.Segment{}, err
		}
		reached, _ := v.Head()
		if reached < at+trailPage {
			break // the end of the trail, or of the part
		}
		if c.Now().Sub(start) >= c.Budget {
			p.whole = true // there may be more, but no time: the part is shorter
		}
	}
	if len(p.lines) == 0 || !p.whole {
		return trail.Segment{}, nil
	}
	last, hash := v.Head()
	s := trail.Segment{First: before + 1, Last: last, Hash: hash}
	compressor, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return trail.Segment{}, err
	}
	err = c.Archive.PutIfAbsent(ctx, s.Key(), compressor.EncodeAll(p.lines, nil), "application/zstd")
	if err != nil && !errors.Is(err, telemetry.ErrConflict) {
		return trail.Segment{}, err
	}
	return s, nil
}

// part collects the entries of a month until one of the next.
type part struct {
	verifier *trail.Verifier
	until    time.Time // the first month that stays
	max      int64
	end      time.Time // of the month
	lines    []byte
	n        int64
	// whole: a later entry was seen, so that the part does not end with the newest of the trail.
	whole bool
}

func (p *part) add(e trail.Entry) error {
	at := e.Time.Time().UTC()
	if p.n == 0 {
		p.end = time.Date(at.Year(), at.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	}
	if p.whole = p.whole || p.end.After(p.until) || !at.Before(p.end) || p.n == p.max; p.whole {
		return nil
	}
	if err := p.verifier.Next(e); err != nil {
		return err
	}
	p.n++
	var err error
	p.lines, err = trail.AppendLine(p.lines, &e)
	return err
}

// VerifySegment verifies the entries of an archived part of the trail, lines that zstd compressed,
// as trail.VerifyLines does.
func VerifySegment(r io.Reader, v *trail.Verifier) error {
	expanded, err := zstd.NewReader(r)
	if err != nil {
		return fmt.Errorf("archived trail: %w", err)
	}
	defer expanded.Close()
	return trail.VerifyLines(expanded, v)
}

// readAnchors adds the heads from entry seq on to v, at most limit. It returns the last of them.
func readAnchors(ctx context.Context, from Anchors, v *trail.Verifier, seq int64, limit int) (last trail.Anchor, n int, err error) {
	for after := AnchorsPrefix + fmt.Sprintf("%019d", seq); ; {
		keys, err := from.Keys(ctx, AnchorsPrefix, after, min(anchorsPage, limit-n))
		if err != nil {
			return last, n, err
		}
		for _, key := range keys {
			a, err := trail.ParseAnchorName(strings.TrimPrefix(key, AnchorsPrefix))
			if err != nil {
				return last, n, err
			}
			if err := v.AddAnchor(a); err != nil {
				return last, n, err
			}
			last, after = a, key
			n++
		}
		if len(keys) < anchorsPage || n == limit {
			return last, n, nil
		}
	}
}

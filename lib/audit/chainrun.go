package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// progressPrefix is the key prefix of the objects, without content, whose names say how far the
// older entries were verified: <Unix seconds>-<name of an anchor at that entry>-<head>.
const progressPrefix = "audit-reports/trail/"

// progressDays is for how long an object of progress counts: then verifying begins anew.
const progressDays = 7

// chainRun is one run of a ChainCheck.
type chainRun struct {
	ChainConfig
	// older is the entry up to which a run before verified the older entries; head is the head of that run.
	older trail.Anchor
	head  int64
	// archived is the last part of the trail in the archive: what is up to there is verified there.
	archived trail.Segment
	// start is the last stored head, from which on the entries are recent.
	start trail.Anchor
	// recent verifies from there on.
	recent trail.Verifier
	heads  int // stored ones that were compared
	last   time.Time
}

func (c *chainRun) readProgress(ctx context.Context) error {
	since := c.Now().Add(-progressDays * 24 * time.Hour)
	for after := progressPrefix + fmt.Sprintf("%011d", since.Unix()); ; {
		keys, err := c.Anchors.Keys(ctx, progressPrefix, after, anchorsPage)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if at, head, err := parseProgress(strings.TrimPrefix(key, progressPrefix)); err == nil {
				c.older, c.head = at, head
			}
			after = key
		}
		if len(keys) < anchorsPage {
			break
		}
	}
	var err error
	if c.start, c.heads, err = readAnchors(ctx, c.Anchors, &c.recent, c.head, math.MaxInt); err != nil {
		return err
	}
	segments, err := readSegments(ctx, c.Anchors)
	if n := len(segments); n > 0 {
		c.archived = segments[n-1]
	}
	return err
}

func progressName(now time.Time, at trail.Anchor, head int64) string {
	return fmt.Sprintf("%011d-%s-%019d.json", now.Unix(), strings.TrimSuffix(at.Name(), ".json"), head)
}

func parseProgress(name string) (at trail.Anchor, head int64, err error) {
	const unix, seq, hash = 11, 19, 64
	if len(name) != unix+1+seq+1+hash+1+seq+len(".json") {
		return at, 0, fmt.Errorf("progress %.150q: %w", name, telemetry.ErrInvalid)
	}
	if at, err = trail.ParseAnchorName(name[unix+1:unix+1+seq+1+hash] + ".json"); err != nil {
		return at, 0, err
	}
	_, err = fmt.Sscanf(name[len(name)-seq-len(".json"):], "%d.json", &head)
	return at, head, err
}

// verifyRecent verifies from the last stored head on.
func (c *chainRun) verifyRecent(ctx context.Context) Finding {
	from := fmt.Sprintf("entry %d", c.archived.Last+1)
	c.recent.StartAfter(c.archived.Last, c.archived.Hash)
	if c.start.Seq > c.archived.Last {
		from = fmt.Sprintf("the last head, entry %d,", c.start.Seq)
		if err := c.recent.StartAt(c.start); err != nil {
			return broken("trail: chain", err)
		}
	}
	last, done, err := c.follow(ctx, &c.recent, math.MaxInt64)
	if err == nil && done {
		err = c.recent.End()
	}
	if err != nil {
		return broken("trail: chain", err)
	}
	c.last = last
	seq, hash := c.recent.Head()
	f := Finding{
		Check: "trail: chain", Result: Pass,
		Found: fmt.Sprintf("from %s to entry %d none was changed, removed or inserted; the head is %.12s…", from, seq, hash),
	}
	if !done {
		f.Result, f.Todo = Warn, "nothing: the next self-check goes on from there; or verify the exported trail offline"
		f.Found = fmt.Sprintf("from %s to entry %d none was changed, removed or inserted; there was no time for later ones", from, seq)
	}
	return f
}

// store stores the head, unless it is stored already.
func (c *chainRun) store(ctx context.Context) Finding {
	f := Finding{Check: "trail: anchors", Result: Pass}
	if c.Anchors == nil {
		f.Result, f.Found = Warn, "none: a truncated or rewritten trail would look intact"
		f.Todo = "configure a bucket for them"
		return f
	}
	seq, hash := c.recent.Head()
	if seq == 0 {
		f.Found = "the trail is empty: nothing to store"
		return f
	}
	head := trail.Anchor{Seq: seq, Hash: hash, Time: c.Now().UTC()}
	raw, err := json.Marshal(head)
	if err == nil {
		err = c.Anchors.PutIfAbsent(ctx, AnchorsPrefix+head.Name(), append(raw, '\n'), "application/json")
	}
	if err != nil && !errors.Is(err, telemetry.ErrConflict) {
		return Finding{f.Check, Fail, "the head cannot be stored: " + err.Error(), "check that the self-check may write to its bucket"}
	}
	f.Found = fmt.Sprintf("%d earlier heads match; entry %d of %s is stored", c.heads, head.Seq, c.last.UTC().Format(time.RFC3339))
	return f
}

// verifyOlder verifies the entries before the last stored head, or a part of them if they are more
// than SliceEntries: from where the run before ended, or from the beginning.
func (c *chainRun) verifyOlder(ctx context.Context) []Finding {
	const check = "trail: older entries"
	if c.start.Seq <= c.archived.Last {
		return nil // all that is not in the archive was verified as recent
	}
	var v trail.Verifier
	from := c.older
	if from.Seq >= c.start.Seq || c.start.Seq-c.archived.Last <= c.SliceEntries {
		from = trail.Anchor{} // one run verifies a trail that fits into it
	}
	if from.Seq <= c.archived.Last {
		from = trail.Anchor{Seq: c.archived.Last, Hash: c.archived.Hash}
		v.StartAfter(from.Seq, from.Hash)
	} else if err := v.StartAt(from); err != nil {
		return []Finding{broken(check, err)}
	}
	until := min(c.start.Seq, from.Seq+c.SliceEntries)
	known, n, err := readAnchors(ctx, c.Anchors, &v, from.Seq, anchorsPage)
	if err != nil {
		return []Finding{broken(check, err)}
	}
	if n == anchorsPage { // later heads are not known here
		until = min(until, known.Seq)
	}
	_, done, err := c.follow(ctx, &v, until)
	seq, hash := v.Head()
	if err == nil && done && seq < until {
		err = &trail.BrokenError{Seq: seq + 1, Reason: fmt.Sprintf("is missing: there is an anchor of entry %d", c.start.Seq)}
	}
	if err != nil {
		return []Finding{broken(check, err)}
	}
	f := Finding{
		Check: check, Result: Pass,
		Found: fmt.Sprintf("entries %d to %d of %d before the last head are intact; each self-check verifies another part",
			from.Seq+1, seq, c.start.Seq),
	}
	if c.Anchors != nil && seq > 0 {
		key := progressPrefix + progressName(c.Now(), trail.Anchor{Seq: seq, Hash: hash}, c.start.Seq)
		err := c.Anchors.PutIfAbsent(ctx, key, []byte("{}\n"), "application/json")
		if err != nil && !errors.Is(err, telemetry.ErrConflict) {
			f.Result, f.Todo = Fail, "check that the self-check may write to its bucket"
			f.Found += "; the progress cannot be stored: " + err.Error()
		}
	}
	return []Finding{f}
}

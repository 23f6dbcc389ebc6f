package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// AnchorsPrefix begins the objects that keep heads of the audit trail.
const AnchorsPrefix = "audit-anchors/"

// Anchors keeps heads of the audit trail where who writes the trail can not write.
type Anchors interface {
	Keys(ctx context.Context, prefix, after string, limit int) ([]string, error)
	PutIfAbsent(ctx context.Context, key string, body []byte, contentType string) error
}

// ChainConfig sets a ChainCheck up.
type ChainConfig struct {
	API API
	// Token is an administrator's of every site: others see a part of the chain.
	Token string
	// Anchors is nil where there is no bucket for them: then a trail that was cut off at
	// its end, or written anew, looks whole, and the check warns.
	Anchors Anchors
	Now     func() time.Time
}

const (
	trailPage   = 1000
	anchorsPage = 1000
)

// ChainCheck reads the whole audit trail, follows its hashes, compares it with the
// heads that earlier audits kept, and keeps its own.
func ChainCheck(c ChainConfig) Check {
	return func(ctx context.Context) []Finding {
		var v trail.Verifier
		if c.Anchors != nil {
			if err := c.anchors(ctx, &v); err != nil {
				return []Finding{broken("trail: anchors", err)}
			}
		}
		anchors := len(v.Anchors)
		last, err := c.follow(ctx, &v)
		if err == nil {
			err = v.End()
		}
		if err != nil {
			return []Finding{broken("trail: chain", err)}
		}
		seq, hash := v.Head()
		chain := Finding{Check: "trail: chain", Result: Pass, Found: fmt.Sprintf("%d entries, none changed, missing or put in between; the head is %.12s…", seq, hash)}
		return []Finding{chain, c.keep(ctx, trail.Anchor{Seq: seq, Hash: hash, Time: c.Now().UTC()}, anchors, last)}
	}
}

// broken is the finding of a chain that does not hold, or that could not be read.
func broken(check string, err error) Finding {
	f := Finding{Check: check, Result: Fail, Found: err.Error()}
	if _, ok := errors.AsType[*trail.BrokenError](err); ok {
		f.Todo = "somebody wrote to the trail past the platform: keep the database as it is, compare with a backup, find who could"
	} else {
		f.Todo = "it could not be looked at: see that the API and the bucket can be read"
	}
	return f
}

func (c ChainConfig) anchors(ctx context.Context, v *trail.Verifier) error {
	for after := ""; ; {
		keys, err := c.Anchors.Keys(ctx, AnchorsPrefix, after, anchorsPage)
		if err != nil {
			return err
		}
		for _, key := range keys {
			a, err := trail.ParseAnchorName(strings.TrimPrefix(key, AnchorsPrefix))
			if err != nil {
				return err
			}
			if err := v.AddAnchor(a); err != nil {
				return err
			}
			after = key
		}
		if len(keys) < anchorsPage {
			return nil
		}
	}
}

// follow verifies the trail page by page, and returns the time of the last entry.
func (c ChainConfig) follow(ctx context.Context, v *trail.Verifier) (last time.Time, err error) {
	for {
		before, _ := v.Head()
		got, err := c.API.get(ctx, fmt.Sprintf("/v1/audit?format=ndjson&limit=%d&after=%d", trailPage, before), c.Token)
		if err != nil {
			return last, err
		}
		if got.status != http.StatusOK {
			return last, fmt.Errorf("read the trail after entry %d: %v", before, got)
		}
		n := 0
		err = trail.ReadLines(bytes.NewReader(got.body), func(e trail.Entry) error {
			n++
			last = e.Time.Time()
			return v.Next(e)
		})
		if err != nil {
			return last, err
		}
		if n < trailPage {
			return last, nil
		}
	}
}

// keep stores the head, unless it is kept already.
func (c ChainConfig) keep(ctx context.Context, head trail.Anchor, earlier int, last time.Time) Finding {
	f := Finding{Check: "trail: anchors", Result: Pass}
	if c.Anchors == nil {
		f.Result, f.Found = Warn, "none: a trail cut off at its end, or written anew, would look whole"
		f.Todo = "give the audit a bucket for them"
		return f
	}
	if head.Seq == 0 {
		f.Found = "the trail is empty: nothing to keep"
		return f
	}
	raw, err := json.Marshal(head)
	if err == nil {
		err = c.Anchors.PutIfAbsent(ctx, AnchorsPrefix+head.Name(), append(raw, '\n'), "application/json")
	}
	if err != nil && !errors.Is(err, telemetry.ErrConflict) {
		return Finding{f.Check, Fail, "the head can not be kept: " + err.Error(), "see that the audit may write to its bucket"}
	}
	f.Found = fmt.Sprintf("%d earlier heads agree; entry %d of %s is kept", earlier, head.Seq, last.UTC().Format(time.RFC3339))
	return f
}

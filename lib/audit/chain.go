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

// AnchorsPrefix is the key prefix of the stored heads of the audit trail.
const AnchorsPrefix = "audit-anchors/"

// Anchors stores heads of the audit trail where the writers of the trail have no access.
type Anchors interface {
	Keys(ctx context.Context, prefix, after string, limit int) ([]string, error)
	PutIfAbsent(ctx context.Context, key string, body []byte, contentType string) error
}

// ChainConfig configures a ChainCheck.
type ChainConfig struct {
	API API
	// Token is that of an administrator of every site: others see a part of the chain.
	Token string
	// Anchors is nil without a bucket: then a trail that was truncated or rewritten looks
	// intact, and the check warns.
	Anchors Anchors
	Now     func() time.Time
}

const (
	trailPage   = 1000
	anchorsPage = 1000
)

// ChainCheck reads the whole audit trail, verifies its hash chain and the heads that
// earlier self-checks stored, and stores its own.
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
		chain := Finding{
			Check: "trail: chain", Result: Pass,
			Found: fmt.Sprintf("%d entries, none changed, missing or inserted; the head is %.12s…", seq, hash),
		}
		return []Finding{chain, c.store(ctx, trail.Anchor{Seq: seq, Hash: hash, Time: c.Now().UTC()}, anchors, last)}
	}
}

// broken is the finding of a chain that is broken or that could not be read.
func broken(check string, err error) Finding {
	f := Finding{Check: check, Result: Fail, Found: err.Error()}
	if _, ok := errors.AsType[*trail.BrokenError](err); ok {
		f.Todo = "the trail was changed bypassing the platform: preserve the database, compare it with a backup, find out who had access"
	} else {
		f.Todo = "the trail was not checked: check that the API and the bucket can be read"
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

// store stores the head, unless it is stored already.
func (c ChainConfig) store(ctx context.Context, head trail.Anchor, earlier int, last time.Time) Finding {
	f := Finding{Check: "trail: anchors", Result: Pass}
	if c.Anchors == nil {
		f.Result, f.Found = Warn, "none: a truncated or rewritten trail would look intact"
		f.Todo = "configure a bucket for them"
		return f
	}
	if head.Seq == 0 {
		f.Found = "the trail is empty: nothing to store"
		return f
	}
	raw, err := json.Marshal(head)
	if err == nil {
		err = c.Anchors.PutIfAbsent(ctx, AnchorsPrefix+head.Name(), append(raw, '\n'), "application/json")
	}
	if err != nil && !errors.Is(err, telemetry.ErrConflict) {
		return Finding{f.Check, Fail, "the head cannot be stored: " + err.Error(), "check that the self-check may write to its bucket"}
	}
	f.Found = fmt.Sprintf("%d earlier heads match; entry %d of %s is stored", earlier, head.Seq, last.UTC().Format(time.RFC3339))
	return f
}

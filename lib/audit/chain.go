package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

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
	// Budget limits the time for the entries since the last head, and again that for older
	// ones. Default 20 s.
	Budget time.Duration
	// SliceEntries limits the older entries. Default 100,000.
	SliceEntries int64
}

const (
	trailPage   = 1000
	anchorsPage = 1000
)

// ChainCheck verifies the audit trail from the last stored head on, and stores its own head. Then
// it verifies a part of the older entries, another one in each run, against all heads in it.
// Both take a limited time, whatever the length of the trail, and say how far they got.
func ChainCheck(c ChainConfig) Check {
	c.Budget, c.SliceEntries = cmp.Or(c.Budget, 20*time.Second), cmp.Or(c.SliceEntries, 100_000)
	return func(ctx context.Context) []Finding {
		run := chainRun{ChainConfig: c}
		if c.Anchors != nil {
			if err := run.readProgress(ctx); err != nil {
				return []Finding{broken("trail: anchors", err)}
			}
		}
		recent := run.verifyRecent(ctx)
		findings := []Finding{recent}
		if recent.Result != Fail {
			findings = append(findings, run.store(ctx))
		}
		return append(findings, run.verifyOlder(ctx)...)
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

// follow verifies the trail page by page until its end, the entry until, or the end of the time. It
// returns the time of the last entry, and whether it reached the end or until.
func (c *chainRun) follow(ctx context.Context, v *trail.Verifier, until int64) (last time.Time, done bool, err error) {
	for start := c.Now(); ; {
		before, _ := v.Head()
		if before >= until {
			return last, true, nil
		}
		if c.Now().Sub(start) > c.Budget {
			return last, false, nil
		}
		limit := min(trailPage, until-before)
		got, err := c.API.get(ctx, fmt.Sprintf("/v1/audit?format=ndjson&limit=%d&after=%d", limit, before), c.Token)
		if err != nil {
			return last, false, err
		}
		if got.status != http.StatusOK {
			return last, false, fmt.Errorf("read the trail after entry %d: %v", before, got)
		}
		n := int64(0)
		err = trail.ReadLines(bytes.NewReader(got.body), func(e trail.Entry) error {
			n++
			last = e.Time.Time()
			return v.Next(e)
		})
		if err != nil {
			return last, false, err
		}
		if n < limit {
			return last, true, nil
		}
	}
}

package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// Records stores the self-check's own objects.
type Records interface {
	// Get returns an object, or an error that wraps telemetry.ErrNotFound.
	Get(ctx context.Context, key string) ([]byte, error)
	// PutIfAbsent writes an object. The error wraps telemetry.ErrConflict if there is one.
	PutIfAbsent(ctx context.Context, key string, body []byte, contentType string) error
}

// keysPrefix is the key prefix of the objects with the time of a key's first sighting.
const keysPrefix = "audit-keys/"

// KeysConfig configures a KeysCheck.
type KeysConfig struct {
	API API
	// Records stores when each key was first seen; if nil, ages are not checked.
	Records Records
	Now     func() time.Time
	// MaxAge is the longest that a key should be used.
	MaxAge time.Duration
}

// KeysCheck checks the published keys. A key set does not contain the age of its keys, so
// the time at which each was first seen is stored.
func KeysCheck(c KeysConfig) Check {
	return func(ctx context.Context) []Finding {
		got, err := c.API.get(ctx, "/.well-known/jwks.json", "")
		if err != nil {
			return []Finding{noResponse("keys: published", err)}
		}
		ids, problem := readKeys(got)
		if problem != "" {
			return []Finding{{
				"keys: published", Fail, problem, "clients cannot verify tokens with it: check functions/access and the signing keys",
			}}
		}
		published := Finding{
			Check: "keys: published", Result: Pass,
			Found: fmt.Sprintf("%d P-256 keys for ES256, identified by their thumbprints", len(ids)),
		}
		return []Finding{published, c.ages(ctx, ids)}
	}
}

// readKeys returns the ids of a key set's keys, or the problem with it.
func readKeys(got response) (ids []string, problem string) {
	if got.status != http.StatusOK {
		return nil, "the response is " + got.String()
	}
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(got.body, &set); err != nil || len(set.Keys) == 0 {
		return nil, "the key set has no keys"
	}
	for i, raw := range set.Keys {
		var named struct {
			ID  string `json:"kid"`
			Use string `json:"use"`
		}
		_, id, err := token.ParsePublicKey(raw)
		if err == nil {
			err = json.Unmarshal(raw, &named)
		}
		switch {
		case err != nil:
			return nil, fmt.Sprintf("key %d: %v", i, err)
		case named.ID != id:
			return nil, fmt.Sprintf("key %d: its kid is not its thumbprint", i)
		case named.Use != "sig":
			return nil, fmt.Sprintf("key %d: its use is %q, want sig", i, named.Use)
		}
		ids = append(ids, id)
	}
	return ids, ""
}

func (c KeysConfig) ages(ctx context.Context, ids []string) Finding {
	f := Finding{Check: "keys: age", Result: Pass}
	if c.Records == nil {
		f.Result, f.Found, f.Todo = Warn, "not checked: there is no bucket for first sightings", "configure a bucket"
		return f
	}
	var oldest time.Duration
	for _, id := range ids {
		seen, err := c.firstSeen(ctx, id)
		if err != nil {
			return Finding{f.Check, Fail, err.Error(), "check that the self-check may read and write its bucket"}
		}
		oldest = max(oldest, c.Now().Sub(seen))
	}
	f.Found = fmt.Sprintf("the oldest was first seen %s ago", days(oldest))
	if oldest > c.MaxAge {
		f.Result = Warn
		f.Found += ", more than " + days(c.MaxAge)
		f.Todo = "rotate the signing key (docs/adr: access tokens)"
	}
	return f
}

func days(d time.Duration) string { return fmt.Sprintf("%.0f days", d.Hours()/24) }

func (c KeysConfig) firstSeen(ctx context.Context, id string) (time.Time, error) {
	key := keysPrefix + id + ".json"
	var document struct {
		FirstSeen time.Time `json:"first_seen"`
	}
	raw, err := c.Records.Get(ctx, key)
	if errors.Is(err, telemetry.ErrNotFound) {
		document.FirstSeen = c.Now().UTC()
		if raw, err = json.Marshal(document); err == nil {
			err = c.Records.PutIfAbsent(ctx, key, raw, "application/json")
		}
		if errors.Is(err, telemetry.ErrConflict) { // stored by another self-check
			err = nil
		}
		return document.FirstSeen, err
	}
	if err != nil {
		return time.Time{}, err
	}
	if err := json.Unmarshal(raw, &document); err != nil || document.FirstSeen.IsZero() {
		return time.Time{}, fmt.Errorf("%s: %w: no first_seen", key, telemetry.ErrInvalid)
	}
	return document.FirstSeen, nil
}

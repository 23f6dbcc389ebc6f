package audit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Bucket lists and reads objects.
type Bucket interface {
	// Keys returns up to limit keys with the prefix that sort after after, in order.
	Keys(ctx context.Context, prefix, after string, limit int) ([]string, error)
	// Get returns an object, or an error that wraps telemetry.ErrNotFound.
	Get(ctx context.Context, key string) ([]byte, error)
}

const (
	// listedFailures limits how many failure objects are counted.
	listedFailures = 1000
	shownFailures  = 3
	// readStates limits how many states are read.
	readStates = 1000
)

// FailuresCheck warns unless the bucket of records that consumers could not store is empty.
func FailuresCheck(bucket Bucket) Check {
	return func(ctx context.Context) []Finding {
		f := Finding{Check: "archive: given up", Result: Pass, Found: "no objects: every record was stored"}
		keys, err := bucket.Keys(ctx, "", "", listedFailures)
		if err != nil {
			return []Finding{{f.Check, Fail, "the bucket cannot be read: " + err.Error(), "check that the self-check may list it"}}
		}
		if n := len(keys); n > 0 {
			count := strconv.Itoa(n)
			if n == listedFailures {
				count += " or more"
			}
			f.Result = Warn
			shown := strings.Join(keys[:min(n, shownFailures)], ", ")
			f.Found = fmt.Sprintf("%s objects of records that could not be stored: %s", count, shown)
			if n > shownFailures {
				f.Found += ", …"
			}
			f.Todo = "read their reasons, fix the cause, send the records again, delete the objects"
		}
		return []Finding{f}
	}
}

// Inspect returns an error if a consumer's state object is not valid.
type Inspect func(key string, body []byte) error

// StatesCheck inspects the state objects of the stream's consumers.
func StatesCheck(bucket Bucket, inspect Inspect) Check {
	return func(ctx context.Context) []Finding {
		const name = "archive: consumers' states"
		keys, err := bucket.Keys(ctx, "shardstate/", "", readStates)
		if err != nil {
			return []Finding{{name, Fail, "the bucket cannot be read: " + err.Error(), "check that the self-check may list it"}}
		}
		read := 0
		for _, key := range keys {
			body, err := bucket.Get(ctx, key)
			if errors.Is(err, telemetry.ErrNotFound) {
				continue // it expired since
			}
			if err == nil {
				err = inspect(key, body)
			}
			if err != nil {
				return []Finding{{
					name, Fail, key + ": " + err.Error(),
					"its consumer is blocked: delete the object, and the consumer starts at the oldest record of the stream",
				}}
			}
			read++
		}
		return []Finding{{Check: name, Result: Pass, Found: fmt.Sprintf("%d, each valid and under its own key", read)}}
	}
}

// ArchiveCheck warns that there is no archive, until there is one.
func ArchiveCheck() Check {
	return func(context.Context) []Finding {
		return []Finding{{
			"archive: objects", Warn, "not implemented: events are stored in the database only",
			"nothing; the backups of the database are the only second copy",
		}}
	}
}

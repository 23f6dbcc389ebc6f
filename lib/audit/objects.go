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
	// Keys returns up to limit keys that begin with prefix and stand behind after, in order.
	Keys(ctx context.Context, prefix, after string, limit int) ([]string, error)
	// Get returns an object, or an error that wraps telemetry.ErrNotFound.
	Get(ctx context.Context, key string) ([]byte, error)
}

const (
	// listedFailures bounds what is counted of what was given up.
	listedFailures = 1000
	shownFailures  = 3
	// readStates bounds how many states are read.
	readStates = 1000
)

// FailuresCheck wants the bucket of what consumers gave up to be empty.
func FailuresCheck(bucket Bucket) Check {
	return func(ctx context.Context) []Finding {
		f := Finding{Check: "archive: given up", Result: Pass, Found: "nothing: every record was stored"}
		keys, err := bucket.Keys(ctx, "", "", listedFailures)
		if err != nil {
			return []Finding{{f.Check, Fail, "the bucket can not be read: " + err.Error(), "see that the audit may list it"}}
		}
		if n := len(keys); n > 0 {
			count := strconv.Itoa(n)
			if n == listedFailures {
				count += " or more"
			}
			f.Result = Warn
			f.Found = fmt.Sprintf("%s objects of records that could not be stored: %s", count, strings.Join(keys[:min(n, shownFailures)], ", "))
			if n > shownFailures {
				f.Found += ", …"
			}
			f.Todo = "read their reasons, mend the cause, send the records again, delete the objects"
		}
		return []Finding{f}
	}
}

// Inspect says what is wrong with a consumer's state object.
type Inspect func(key string, body []byte) error

// StatesCheck reads the states of the stream's consumers.
func StatesCheck(bucket Bucket, inspect Inspect) Check {
	return func(ctx context.Context) []Finding {
		const name = "archive: consumers' states"
		keys, err := bucket.Keys(ctx, "shardstate/", "", readStates)
		if err != nil {
			return []Finding{{name, Fail, "the bucket can not be read: " + err.Error(), "see that the audit may list it"}}
		}
		read := 0
		for _, key := range keys {
			body, err := bucket.Get(ctx, key)
			if errors.Is(err, telemetry.ErrNotFound) {
				continue // it has lapsed meanwhile
			}
			if err == nil {
				err = inspect(key, body)
			}
			if err != nil {
				return []Finding{{name, Fail, key + ": " + err.Error(), "its consumer stands still: delete the object, and the consumer begins anew where the stream does"}}
			}
			read++
		}
		return []Finding{{Check: name, Result: Pass, Found: fmt.Sprintf("%d, whole and in their places", read)}}
	}
}

// ArchiveCheck says that there is no archive, until there is one.
func ArchiveCheck() Check {
	return func(context.Context) []Finding {
		return []Finding{{
			"archive: objects", Warn, "not built: events are kept in the database only",
			"nothing here; until then backups of the database are the only second copy",
		}}
	}
}

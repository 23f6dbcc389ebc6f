package denylist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Key is the object's key.
const Key = "access/denied.json"

// Objects reads and replaces the object. The errors wrap telemetry.ErrNotFound if there is
// none, and telemetry.ErrConflict if it was replaced meanwhile.
type Objects interface {
	Tagged
	// PutIf replaces the object if it has that ETag, or creates it if etag is empty and there
	// is none.
	PutIf(ctx context.Context, key string, body []byte, etag string) (string, error)
}

// Source has the denials.
type Source interface {
	// Denials returns those that deny tokens which have not expired, in the order of their
	// times, and deletes some of the others.
	Denials(ctx context.Context) ([]directory.Denial, error)
}

// PublishTimeout is the longest that Publish takes.
const PublishTimeout = 3 * time.Second

// publishAttempts is how often Publish tries when others publish at the same time, or S3
// does not respond.
const publishAttempts = 6

// Publisher writes the object.
type Publisher struct {
	Source  Source
	Objects Objects
}

// Publish writes the object if it is not the one for the denials that are in the database.
// It may be repeated, by anybody: what one call failed to publish, the next one does. The
// error wraps telemetry.ErrUnavailable: the denials are in the database, and tokens are
// accepted until the object is written.
func (p Publisher) Publish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, PublishTimeout)
	defer cancel()
	var err error
	for range publishAttempts {
		if err = p.publish(ctx); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	// No other kind of the cause: the caller has done nothing wrong.
	return fmt.Errorf("%w: the deny list was not published: %s", telemetry.ErrUnavailable, err.Error())
}

func (p Publisher) publish(ctx context.Context) error {
	// The object is read before the rows: if it is not replaced in between, then no other
	// publisher has read rows that this one does not see.
	old, etag, err := p.Objects.GetTagged(ctx, Key, "")
	if err != nil && !errors.Is(err, telemetry.ErrNotFound) {
		return err
	}
	denials, err := p.Source.Denials(ctx)
	if err != nil {
		return err
	}
	body, err := encode(denials)
	if err != nil {
		return err
	}
	if bytes.Equal(body, old) {
		return nil
	}
	_, err = p.Objects.PutIf(ctx, Key, body, etag)
	return err
}

// Unpublished is a port of the use-cases that publishes nothing.
type Unpublished struct{}

// Publish does nothing.
func (Unpublished) Publish(context.Context) error { return nil }

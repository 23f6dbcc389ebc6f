package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/token"
)

type denials []directory.Denial

func (d denials) Denials(context.Context) ([]directory.Denial, error) { return d, nil }

// TestDenied publishes a denial to the bucket that the function reads: its environment that
// starts afterwards rejects the token, and accepts that of the next version.
func TestDenied(t *testing.T) {
	t.Parallel()
	s := newService(t)
	aws, err := awsconfig.Load(s.getenv)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := s3.New(s3.Config{AWS: aws, Bucket: s.env["STATE_BUCKET"], PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	revoked := token.Identity{Subject: "gw-1", Gateway: "gw-1", Site: "plant-1", Role: token.Gateway, Version: 1}
	next := revoked
	next.Version = 2
	before, after := payload("Bearer "+s.mint(t, revoked)), payload("Bearer "+s.mint(t, next))
	authorized := func(payload []byte, want bool) {
		t.Helper()
		got, err := s.function(t, io.Discard).Invoke(t.Context(), payload)
		if err != nil || strings.Contains(string(got), `"isAuthorized":true`) != want {
			t.Errorf("got %s, %v; want authorized %t", got, err, want)
		}
	}
	authorized(before, true)
	source := denials{{Subject: "gw-1", Version: 2, Time: time.Now()}}
	if err := (denylist.Publisher{Source: source, Objects: objects}).Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	authorized(before, false)
	authorized(after, true)
}

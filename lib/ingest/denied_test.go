package ingest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// denials denies one token, and fails for the others' if err is set.
type denials struct{ err error }

func (d denials) Denied(_ context.Context, t denylist.Token) (bool, error) {
	return t == denylist.Token{Subject: "gw-1", Version: 7, Issued: 900}, d.err
}

// TestDeniedGateway: the authorizer's response that API Gateway has cached does not make a
// revoked gateway's token valid. Events of others are accepted while it is not known what is
// denied.
func TestDeniedGateway(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		gateway string
		version int
		err     error
		status  int
	}{
		{"gw-1", 7, nil, 401},
		{"gw-1", 8, nil, 202},
		{"gw-2", 7, nil, 202},
		{"gw-2", 7, telemetry.ErrUnavailable, 202},
	} {
		h, err := New(Config{
			Publisher: &memory{}, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: testNow,
			Denials: denials{c.err},
		})
		if err != nil {
			t.Fatal(err)
		}
		r := jsonRequest(document(goodEvent))
		r.context = map[string]any{"requestId": "req-1", "authorizer": map[string]any{"lambda": map[string]any{
			"gateway": c.gateway, "site": "plant-1", "role": "gateway", "expires": testNow().Unix() + 1,
			"version": c.version, "issued": 900,
		}}}
		if a := invoke(t, h, r.payload(t)); a.StatusCode != c.status {
			t.Errorf("%+v: got %d %s", c, a.StatusCode, a.Body)
		}
	}
}

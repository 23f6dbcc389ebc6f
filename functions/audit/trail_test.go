package main

import (
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/lib/audit"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
)

func decoded(part string) string {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return ""
	}
	return string(raw)
}

// exported returns the trail as the API exports it.
func exported(t *testing.T, p *platform) (string, error) {
	t.Helper()
	info := must(stackfile.Read(p.state))(t)
	a := must(wire(lambdahost.NewHost(info.Getenv, slog.New(slog.DiscardHandler))))(t)
	tokens := must(audit.Minted{MinterConfig: a.minter()}.Open(t.Context()))(t)
	req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, info.HTTP+"/v1/audit?format=ndjson&limit=1000", http.NoBody))(t)
	req.Header.Set("Authorization", "Bearer "+tokens[audit.AsAdministrator])
	resp := must(http.DefaultClient.Do(req))(t)
	raw, err := io.ReadAll(resp.Body)
	return string(raw), errors.Join(err, resp.Body.Close())
}

package main

import (
	"io"
	"log/slog"
	"strings"
	"testing"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/token"
)

// BenchmarkInvoke is one invocation of the whole function, with its metrics and reports to
// a bus.
func BenchmarkInvoke(b *testing.B) {
	s := newService(b)
	s.withBus(b)
	good := s.mint(b, token.Identity{Subject: "gw-1", Gateway: "gw-1", Site: "plant-1", Role: token.Gateway})
	another := good[:len(good)-20] + "00000000" + good[len(good)-12:]
	for name, c := range map[string]struct{ text, want string }{
		"good":        {good, `"isAuthorized":true`},
		"another key": {another, `"isAuthorized":false`},
		"no token":    {"a.b.c", `"isAuthorized":false`},
	} {
		b.Run(name, func(b *testing.B) {
			log := slog.New(slog.NewJSONHandler(io.Discard, nil)) //nolint:sloglint // the cost of logging counts
			f, err := lambdahost.New(b.Context(), s.getenv, log, build)
			if err != nil {
				b.Fatal(err)
			}
			payload := request("Bearer "+c.text, "192.0.2.1")
			b.ReportAllocs()
			for b.Loop() {
				if got, err := f.Invoke(b.Context(), payload); err != nil || !strings.Contains(string(got), c.want) {
					b.Fatal(string(got), err)
				}
			}
		})
	}
}

package token_test

import (
	"testing"

	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
)

func BenchmarkVerify(b *testing.B) {
	for name, who := range map[string]token.Identity{
		"gateway": gatewayOne(), "person": tokentest.PersonOf("u-1", "plant-1", token.Operator),
	} {
		b.Run(name, func(b *testing.B) {
			f := newPlatform(b)
			text := f.mint(b, who)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.verifier.Verify(b.Context(), text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAuthorizer is one invocation, the event's JSON included.
func BenchmarkAuthorizer(b *testing.B) {
	f := newPlatform(b)
	payload := event(b, "Bearer "+f.mint(b, gatewayOne()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.authorizer.Invoke(b.Context(), payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMint(b *testing.B) {
	f := newPlatform(b)
	m := tokentest.Minter(b, f.keys, f.clock)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := m.Mint(b.Context(), gatewayOne(), token.GatewayLifetime); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReject is the cost of a token that is rejected before its signature is verified.
func BenchmarkReject(b *testing.B) {
	f := newPlatform(b)
	text := f.mint(b, gatewayOne())
	f.now = f.now.Add(2 * token.MaxLifetime)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.verifier.Verify(b.Context(), text); err == nil {
			b.Fatal("accepted")
		}
	}
}

// BenchmarkAuthorizerRejects is one invocation with a token whose signature is another
// key's: the most expensive rejection, with its log line.
func BenchmarkAuthorizerRejects(b *testing.B) {
	f := newPlatform(b)
	f.mint(b, gatewayOne()) // the platform has its key
	payload := event(b, "Bearer "+signed(b, new(tokentest.Keys).Private("another"), f.header(b), f.claims()))
	b.ReportAllocs()
	for b.Loop() {
		f.log.Reset()
		if got, err := f.authorizer.Invoke(b.Context(), payload); err != nil || string(got) != notAuthorized {
			b.Fatal(string(got), err)
		}
	}
}

package password_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// cheap keeps the tests fast.
var cheap = password.Cost{MemoryKiB: 64, Passes: 1, Threads: 1}

func TestHashAndVerify(t *testing.T) {
	t.Parallel()
	const secret = "correct horse battery staple"
	phc, err := password.Hash(secret, cheap, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]bool{secret: true, secret + " ": false, "": false, strings.ToUpper(secret): false} {
		if ok, err := password.Verify(phc, given); err != nil || ok != want {
			t.Errorf("%q: got %t, %v, want %t", given, ok, err, want)
		}
	}
	if again, _ := password.Hash(secret, cheap, rand.Reader); again == phc {
		t.Error("two hashes have the same salt")
	}
	if password.Outdated(phc, cheap) || !password.Outdated(phc, password.DefaultCost()) {
		t.Error("Outdated: got true for the same cost, or false for another")
	}
}

// TestVector verifies a test vector of the reference implementation (phc-winner-argon2,
// test.c: version 19, t=2, m=2^16, p=1, "password", "somesalt").
func TestVector(t *testing.T) {
	t.Parallel()
	const phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := password.Verify(phc, "password"); err != nil || !ok {
		t.Errorf("got %t, %v, want true", ok, err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for given, valid := range map[string]bool{
		"fourteen chars": false, "fifteen chars!!": true, strings.Repeat("ü", 15): true,
		strings.Repeat("x", 256): true, strings.Repeat("x", 257): false, strings.Repeat("\xff", 20): false,
	} {
		if err := password.Check(given); (err == nil) != valid || err != nil && !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%q: got %v, want valid %t", given, err, valid)
		}
	}
}

func TestNoRandomness(t *testing.T) {
	t.Parallel()
	if _, err := password.Hash("x", cheap, bytes.NewReader(make([]byte, 15))); err == nil {
		t.Error("got no error, want one for 15 random bytes")
	}
}

func FuzzVerify(f *testing.F) {
	for _, phc := range []string{
		"", "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=064,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=0,p=1$$",
	} {
		f.Add(phc)
	}
	f.Fuzz(func(t *testing.T, phc string) {
		if strings.Contains(phc, "m=") && len(phc) > 30 && !strings.Contains(phc, "m=64,t=1,p=1") {
			t.Skip("too expensive")
		}
		if _, err := password.Verify(phc, "x"); err != nil && !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%q: got %v, want telemetry.ErrInvalid", phc, err)
		}
	})
}

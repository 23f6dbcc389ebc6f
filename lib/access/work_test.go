package access_test

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/access"
	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
	"github.com/insighthub/insighthub/lib/trail"
)

const (
	secret = "correct horse battery staple"
	wrong  = "incorrect horse battery staple"
)

// login is the service over a real database. It records the work of each login.
type login struct {
	service *access.Service
	proxy   *recordingProxy
	dsn     string // not through the proxy

	mu     sync.Mutex
	hashes []string // parameters of each argon2id computation
	now    time.Time
}

// newLogin creates the accounts ada and dora, who is disabled, with passwords of the cost.
func newLogin(tb testing.TB, cost password.Cost) *login {
	tb.Helper()
	pool, dsn := timescaletest.Open(tb)
	phc, err := password.Hash(secret, cost, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	created, err := pool.FirstAdministrator(tb.Context(), "ada", phc, trail.Entry{Action: "account.create", Detail: "{}"})
	if err != nil || !created {
		tb.Fatalf("first administrator: got created %t, %v", created, err)
	}
	timescaletest.Exec(tb, dsn, "INSERT INTO account (name, password, disabled) VALUES ('dora', $1, true)", phc)
	l := &login{now: time.Date(2026, 11, 23, 9, 10, 0, 0, time.UTC), dsn: dsn}
	var proxied string
	l.proxy, proxied = newRecordingProxy(tb, timescaletest.As(tb, dsn, timescale.FunctionAccess))
	pool, err = timescale.Open(tb.Context(), timescale.PoolConfig{DSN: proxied, MaxConnections: 1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	keys := new(tokentest.Keys)
	set, err := token.NewKeySet(token.KeySetConfig{Source: keys, Keys: []token.SigningKey{{Key: "current"}}, Now: l.clock})
	if err != nil {
		tb.Fatal(err)
	}
	l.service, err = access.New(access.Config{
		Accounts: pool, Attempts: pool, Sessions: pool, Gateways: pool, Trail: pool, Failures: empty{},
		Minter: tokentest.Minter(tb, keys, l.clock), Keys: set, Log: slog.New(slog.DiscardHandler), Now: l.clock, Random: rand.Reader,
		Issuer: tokentest.Issuer, Cost: cost, Verify: l.verify,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func (l *login) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *login) verify(phc, given string) (bool, error) {
	l.mu.Lock()
	l.hashes = append(l.hashes, hashParameters(phc))
	l.mu.Unlock()
	return password.Verify(phc, given)
}

// resetAttempts advances the clock until all attempts are forgotten.
func (l *login) resetAttempts() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(25 * time.Hour)
}

// work is what one login did.
type work struct {
	Statements, Hashes []string
	Locked             bool
}

// fail does a login that must be rejected, and returns its work.
func (l *login) fail(tb testing.TB, name, given string) work {
	tb.Helper()
	l.proxy.reset()
	l.mu.Lock()
	l.hashes = nil
	l.mu.Unlock()
	_, err := l.service.Login(tb.Context(), name, given, "192.0.2.1")
	rejected, ok := errors.AsType[*access.Rejected](err)
	if !ok {
		tb.Fatalf("%q: %v", name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return work{l.proxy.reset(), l.hashes, rejected.RetryAfter > 0}
}

// cheap keeps the tests fast. It differs from the default, so that a hash of an unknown
// name at the default cost fails the test.
func cheap() password.Cost { return password.Cost{MemoryKiB: 64, Passes: 1, Threads: 1} }

// TestFailedLoginsDoTheSame checks that the work of a failed login does not depend on
// whether the name exists: all send the same statements to the database, in the same order
// and as many round trips, and compute one argon2id hash with the same parameters.
func TestFailedLoginsDoTheSame(t *testing.T) {
	t.Parallel()
	l := newLogin(t, cheap())
	// The first use of a statement prepares it.
	l.fail(t, "ada", wrong)
	l.resetAttempts()
	want := l.fail(t, "ada", wrong)
	hashes := []string{"argon2id m=64,t=1,p=1, salt of 22, hash of 43 characters"}
	if len(want.Statements) < 5 || !slices.Equal(want.Hashes, hashes) || want.Locked {
		t.Fatalf("a wrong password: got work %+v", want)
	}
	if n := count(want.Statements, "SELECT a.id::text"); n != 1 {
		t.Fatalf("got %d queries of accounts in %q, want 1", n, want.Statements)
	}
	for name, c := range map[string]struct{ name, given string }{
		"unknown name":                   {"bob", wrong},
		"unknown name, a known password": {"bob", secret},
		"name of another form":           {" B'OB\r\n\"--\t", wrong},
		"disabled, wrong password":       {"dora", wrong},
		"disabled, its own password":     {"dora", secret},
		"wrong password again":           {"ADA ", "x"},
	} {
		l.resetAttempts()
		if diff := cmp.Diff(want, l.fail(t, c.name, c.given)); diff != "" {
			t.Errorf("%s (-wrong password +this):\n%s", name, diff)
		}
	}
	// A text that is not a valid name is not looked up, which reveals nothing about names.
	for _, name := range []string{"", strings.Repeat("a", 200), "a\x00b"} {
		l.resetAttempts()
		got := l.fail(t, name, wrong)
		if diff := cmp.Diff(want.Hashes, got.Hashes); diff != "" || count(got.Statements, "SELECT a.id::text") != 0 {
			t.Errorf("%.10q: got work %+v", name, got)
		}
	}
}

// TestLockedLoginsDoTheSame checks that a locked name is rejected before its account is
// read or a hash computed, and that names that do not exist are locked too.
func TestLockedLoginsDoTheSame(t *testing.T) {
	t.Parallel()
	l := newLogin(t, cheap())
	took := make(map[string]work)
	for _, name := range []string{"ada", "bob", "dora"} {
		for attempt := 1; !took[name].Locked; attempt++ {
			if attempt > 20 {
				t.Fatalf("%s is not locked after %d attempts", name, attempt)
			}
			took[name] = l.fail(t, name, wrong)
		}
		took[name] = l.fail(t, name, secret) // with prepared statements
	}
	known := took["ada"]
	if !known.Locked || len(known.Hashes) != 0 || len(known.Statements) == 0 || count(known.Statements, "SELECT a.id::text") != 0 {
		t.Errorf("a locked name: got work %+v", known)
	}
	// The digests of name and address decide which is counted first.
	slices.Sort(known.Statements)
	for _, name := range []string{"bob", "dora"} {
		slices.Sort(took[name].Statements)
		if diff := cmp.Diff(known, took[name]); diff != "" {
			t.Errorf("%s (-known +this):\n%s", name, diff)
		}
	}
}

func count(statements []string, part string) (n int) {
	for s := range slices.Values(statements) {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

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

// login is the service over a real database, with everything that a login does counted.
type login struct {
	service *access.Service
	wire    *wire

	mu     sync.Mutex
	hashes []string // parameters of each argon2id computation
	now    time.Time
}

// newLogin makes the accounts ada and dora, who is disabled, with passwords of that cost.
func newLogin(tb testing.TB, cost password.Cost) *login {
	tb.Helper()
	setUp, dsn := timescaletest.Open(tb)
	phc, err := password.Hash(secret, cost, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	if made, err := setUp.FirstAdministrator(tb.Context(), "ada", phc, trail.Entry{Action: "account.create", Detail: "{}"}); err != nil || !made {
		tb.Fatal(made, err)
	}
	timescaletest.Exec(tb, dsn, "INSERT INTO account (name, password, disabled) VALUES ('dora', $1, true)", phc)
	l := &login{now: time.Date(2026, 11, 23, 9, 10, 0, 0, time.UTC)}
	var through string
	l.wire, through = tap(tb, dsn)
	pool, err := timescale.Open(tb.Context(), timescale.PoolConfig{DSN: through, MaxConnections: 1})
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
		Accounts: pool, Attempts: pool, Sessions: pool, Gateways: pool, Trail: pool, Minter: tokentest.Minter(tb, keys, l.clock), Keys: set,
		Log: slog.New(slog.DiscardHandler), Now: l.clock, Random: rand.Reader, Issuer: tokentest.Issuer, Cost: cost, Verify: l.verify,
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
	l.hashes = append(l.hashes, parameters(phc))
	l.mu.Unlock()
	return password.Verify(phc, given)
}

// later lets all attempts be forgotten.
func (l *login) later() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(25 * time.Hour)
}

// work is what one login took.
type work struct {
	Statements, Hashes []string
	Locked             bool
}

// fail logs in, which must not succeed, and returns the work.
func (l *login) fail(tb testing.TB, name, given string) work {
	tb.Helper()
	l.wire.take()
	l.mu.Lock()
	l.hashes = nil
	l.mu.Unlock()
	_, err := l.service.Login(tb.Context(), name, given, "192.0.2.1")
	refused, ok := errors.AsType[*access.Refused](err)
	if !ok {
		tb.Fatalf("%q: %v", name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return work{l.wire.take(), l.hashes, refused.RetryAfter > 0}
}

// cheap keeps the tests quick. It is not the default, so that a stand-in of the default's
// cost shows.
func cheap() password.Cost { return password.Cost{MemoryKiB: 64, Passes: 1, Threads: 1} }

// TestFailedLoginsDoTheSame: whether a name exists does not show in what a login does. All
// that fail send the same statements to the database, in the same order and as many
// round trips, and compute one argon2id with the same parameters.
func TestFailedLoginsDoTheSame(t *testing.T) {
	t.Parallel()
	l := newLogin(t, cheap())
	// Statements are prepared when they are first used.
	l.fail(t, "ada", wrong)
	l.later()
	want := l.fail(t, "ada", wrong)
	if len(want.Statements) < 5 || len(want.Hashes) != 1 || want.Hashes[0] != "argon2id m=64,t=1,p=1, salt of 22, hash of 43 characters" || want.Locked {
		t.Fatalf("a wrong password takes %+v", want)
	}
	if n := count(want.Statements, "SELECT a.id::text"); n != 1 {
		t.Fatalf("%d looks at accounts in %q", n, want.Statements)
	}
	for name, c := range map[string]struct{ name, given string }{
		"unknown name":                   {"bob", wrong},
		"unknown name, a known password": {"bob", secret},
		"name of another form":           {" B'OB\r\n\"--\t", wrong},
		"disabled, wrong password":       {"dora", wrong},
		"disabled, its own password":     {"dora", secret},
		"wrong password again":           {"ADA ", "x"},
	} {
		l.later()
		if diff := cmp.Diff(want, l.fail(t, c.name, c.given)); diff != "" {
			t.Errorf("%s (-wrong password +this):\n%s", name, diff)
		}
	}
	// What can be no name is not looked for, and that says nothing of any name.
	for _, name := range []string{"", strings.Repeat("a", 200), "a\x00b"} {
		l.later()
		got := l.fail(t, name, wrong)
		if diff := cmp.Diff(want.Hashes, got.Hashes); diff != "" || count(got.Statements, "SELECT a.id::text") != 0 {
			t.Errorf("%.10q takes %+v", name, got)
		}
	}
}

// TestLockedLoginsDoTheSame: a locked name is refused before anybody looks for it, and
// names that do not exist lock like those that do. So no password is computed for
// either, and no account read.
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
		took[name] = l.fail(t, name, secret) // prepared by now
	}
	known := took["ada"]
	if !known.Locked || len(known.Hashes) != 0 || len(known.Statements) == 0 || count(known.Statements, "SELECT a.id::text") != 0 {
		t.Errorf("a locked name takes %+v", known)
	}
	// Which of name and address is counted first depends on their digests.
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

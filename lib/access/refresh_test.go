package access_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/access"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
	"github.com/insighthub/insighthub/lib/trail"
)

// processes are two services over one database, as two function instances are, with one
// clock. The account is ada.
type processes struct {
	services [2]*access.Service
	pool     *timescale.Pool
	dsn      string

	mu  sync.Mutex
	now time.Time
}

func newProcesses(tb testing.TB) *processes {
	tb.Helper()
	pool, dsn := timescaletest.Open(tb)
	role := timescaletest.As(tb, dsn, timescale.FunctionAccess)
	phc, err := password.Hash(secret, cheap(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := pool.FirstAdministrator(tb.Context(), "ada", phc, trail.Entry{Action: "account.create", Detail: "{}"}); err != nil {
		tb.Fatal(err)
	}
	p := &processes{pool: pool, dsn: dsn, now: time.Date(2026, 11, 23, 9, 10, 0, 0, time.UTC)}
	keys := new(tokentest.Keys)
	set, err := token.NewKeySet(token.KeySetConfig{Source: keys, Keys: []token.SigningKey{{Key: "current"}}, Now: p.clock})
	if err != nil {
		tb.Fatal(err)
	}
	for i := range p.services {
		own, err := timescale.Open(tb.Context(), timescale.PoolConfig{DSN: role, MaxConnections: 8})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(own.Close)
		p.services[i], err = access.New(access.Config{
			Accounts: own, Attempts: own, Sessions: own, Gateways: own, Trail: own, Failures: empty{},
			Minter: tokentest.Minter(tb, keys, p.clock), Keys: set, Log: slog.New(slog.DiscardHandler), Now: p.clock, Random: rand.Reader,
			Issuer: tokentest.Issuer, Cost: cheap(),
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return p
}

func (p *processes) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *processes) advance(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

// fatal is testing.TB, or a property's.
type fatal interface {
	Context() context.Context
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

func (p *processes) login(t fatal) string {
	t.Helper()
	pair, err := p.services[0].Login(t.Context(), "ada", secret, "192.0.2.1")
	if err != nil {
		t.Fatalf("login: %v", err)
	}
	return pair.Refresh
}

// refresh returns the next pair; an empty one if the token was rejected.
func (p *processes) refresh(t fatal, process int, refresh string) access.Pair {
	t.Helper()
	pair, err := p.services[process].Refresh(t.Context(), refresh, "192.0.2.1")
	if _, rejected := errors.AsType[*access.Rejected](err); err != nil && !rejected {
		t.Fatalf("refresh: %v", err)
	}
	return pair
}

// live returns how many refresh tokens of all sessions could be exchanged.
func (p *processes) live(tb testing.TB) string {
	tb.Helper()
	return timescaletest.Value(tb, p.dsn, "SELECT count(*) FROM refresh_token WHERE revoked_at IS NULL AND used_at IS NULL")
}

func (p *processes) actions(tb testing.TB, action string) string {
	tb.Helper()
	return timescaletest.Value(tb, p.dsn, "SELECT count(*) FROM "+timescaletest.Trail+" WHERE action = $1", action)
}

// TestTwoTabs: tabs that refresh at once, in two processes, all get the same next refresh
// token, and the session goes on with it.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	p := newProcesses(t)
	first := p.login(t)
	for round := range 10 {
		pairs := make(chan access.Pair)
		for i := range 8 {
			go func() {
				pair, err := p.services[i%2].Refresh(t.Context(), first, "192.0.2.1")
				if err != nil {
					t.Errorf("round %d: %v", round, err)
				}
				pairs <- pair
			}()
		}
		got := <-pairs
		for range 7 {
			pair := <-pairs
			pair.Access = got.Access // one for each
			if pair != got || pair.Refresh == first {
				t.Errorf("round %d: got %+v and %+v, want the same", round, pair, got)
			}
		}
		first = got.Refresh
		p.advance(10 * time.Minute)
	}
	reuse, live := p.actions(t, "session.reuse"), p.live(t)
	repeat := timescaletest.Value(t, p.dsn, "SELECT sum(number) FROM trail_sum WHERE action = 'session.repeat' AND subject <> ''")
	if reuse != "0" || repeat != "70" || live != "1" {
		t.Errorf("got %s reuses, %s repetitions and %s live tokens, want 0, 70 and 1", reuse, repeat, live)
	}
}

// TestDeadSession: a refresh token of a session that has ended can be sent again and again: nothing
// is taken from its person, and the trail does not grow.
func TestDeadSession(t *testing.T) {
	t.Parallel()
	p := newProcesses(t)
	for _, end := range []string{"logout", "reuse"} {
		first := p.login(t)
		second := p.refresh(t, 0, first)
		third := p.refresh(t, 0, second.Refresh)
		p.advance(time.Minute)
		if end == "logout" {
			if err := p.services[0].Logout(t.Context(), third.Refresh, "192.0.2.1"); err != nil {
				t.Fatal(err)
			}
		} else {
			p.refresh(t, 0, first)
		}
		count := func() string {
			return timescaletest.Value(t, p.dsn,
				"SELECT (SELECT count(*) FROM "+timescaletest.Trail+") || ' ' || (SELECT count(*) FROM denial)")
		}
		before := count()
		for range 30 {
			if pair := p.refresh(t, 1, first); pair.Refresh != "" {
				t.Error("got a token")
			}
		}
		if after := count(); after != before {
			t.Errorf("after a %s: got %s entries and denials, want %s as before", end, after, before)
		}
	}
}

// TestRepetition checks what becomes of a second use, by its time and by what happened
// between.
func TestRepetition(t *testing.T) {
	t.Parallel()
	p := newProcesses(t)
	for name, c := range map[string]struct {
		between func(t *testing.T, first, next string)
		same    bool // the second use gets the same successor, which goes on
		reuse   bool // it is recorded as reuse
	}{
		"at once":                     {func(*testing.T, string, string) {}, true, false},
		"after 10 s":                  {func(*testing.T, string, string) { p.advance(10 * time.Second) }, true, false},
		"after 10.001 s":              {func(*testing.T, string, string) { p.advance(10*time.Second + time.Millisecond) }, false, true},
		"after a minute":              {func(*testing.T, string, string) { p.advance(time.Minute) }, false, true},
		"the successor was used":      {func(t *testing.T, _, next string) { t.Helper(); p.refresh(t, 1, next) }, false, true},
		"after the logout of another": {func(t *testing.T, _, next string) { t.Helper(); p.logout(t, next) }, false, false},
		"after its own logout":        {func(t *testing.T, first, _ string) { t.Helper(); p.logout(t, first) }, false, false},
		"the account was disabled": {func(t *testing.T, _, _ string) {
			t.Helper()
			timescaletest.Exec(t, p.dsn, "UPDATE account SET disabled = true")
		}, false, false},
		"an earlier repetition": {func(t *testing.T, first, next string) {
			t.Helper()
			p.advance(6 * time.Second)
			if got := p.refresh(t, 1, first).Refresh; got != next {
				t.Errorf("got %q, want %q", got, next)
			}
			p.advance(6 * time.Second) // the time counts from the first use
		}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			timescaletest.Exec(t, p.dsn, "UPDATE account SET disabled = false")
			before := p.actions(t, "session.reuse")
			first := p.login(t)
			one := p.refresh(t, 0, first)
			c.between(t, first, one.Refresh)
			two := p.refresh(t, 1, first)
			if c.same && (two.Refresh != one.Refresh || two.Access == "") || !c.same && two != (access.Pair{}) {
				t.Errorf("got %+v after %+v", two, one)
			}
			if reused := p.actions(t, "session.reuse") != before; reused != c.reuse {
				t.Errorf("got reuse %t, want %t", reused, c.reuse)
			}
			if next := p.refresh(t, 0, one.Refresh); (next.Refresh != "") != c.same {
				t.Errorf("the successor: got %+v, want it to be valid: %t", next, c.same)
			}
		})
	}
	if salts := timescaletest.Value(t, p.dsn, `SELECT count(*) FROM refresh_token a JOIN refresh_token b ON b.hash = a.successor
		WHERE a.successor_salt IS NOT NULL AND b.used_at IS NOT NULL`); salts != "0" {
		t.Errorf("got %s salts of successors that were used, want none", salts)
	}
}

func (p *processes) logout(t *testing.T, refresh string) {
	t.Helper()
	if err := p.services[0].Logout(t.Context(), refresh, "192.0.2.1"); err != nil {
		t.Error(err)
	}
}

// TestRepetitionExtendsNothing: the refresh token of a repetition expires when the first
// exchange said.
func TestRepetitionExtendsNothing(t *testing.T) {
	t.Parallel()
	p := newProcesses(t)
	first := p.login(t)
	one := p.refresh(t, 0, first)
	p.advance(7 * time.Second)
	two := p.refresh(t, 1, first)
	if one.RefreshExpires != 12*time.Hour || two.RefreshExpires != 12*time.Hour-7*time.Second {
		t.Errorf("got %v, then %v, want 12 h, then 7 s less", one.RefreshExpires, two.RefreshExpires)
	}
	p.advance(two.RefreshExpires)
	if pair := p.refresh(t, 0, two.Refresh); pair != (access.Pair{}) {
		t.Errorf("after 12 h: got %+v, want it to have expired", pair)
	}
}

// session is the model of a login: its tokens in the order of their exchange.
type session struct {
	tokens []string
	used   []time.Time // of all but the last
	ended  bool
}

// TestRefreshModel compares random sequences of refreshes, repetitions, thefts, logouts and
// waits with a model.
func TestRefreshModel(t *testing.T) {
	t.Parallel()
	p := newProcesses(t)
	rapid.Check(t, func(rt *rapid.T) {
		s := session{tokens: []string{p.login(rt)}}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0:
				i := rapid.IntRange(0, len(s.tokens)-1).Draw(rt, "logout with")
				if err := p.services[0].Logout(t.Context(), s.tokens[i], "192.0.2.1"); err != nil {
					rt.Fatalf("logout: %v", err)
				}
				s.ended = true
			case 1, 2, 3:
				p.advance(time.Duration(rapid.SampledFrom([]int{0, 1, 5, 10, 11, 600}).Draw(rt, "seconds")) * time.Second)
			default:
				back := rapid.SampledFrom([]int{0, 0, 0, 0, 1, 1, 1, 2, 3}).Draw(rt, "back")
				s.refresh(rt, p, max(0, len(s.tokens)-1-back))
			}
		}
	})
}

// refresh uses token i and checks the result against the rules.
func (s *session) refresh(t fatal, p *processes, i int) {
	t.Helper()
	got := p.refresh(t, i%2, s.tokens[i]).Refresh
	switch last := len(s.tokens) - 1; {
	case s.ended:
		if got != "" {
			t.Errorf("got a token of a session that has ended")
		}
	case i == last:
		if got == "" || slices.Contains(s.tokens, got) {
			t.Fatalf("got %q for the latest token, want a new one", got)
		}
		s.tokens, s.used = append(s.tokens, got), append(s.used, p.clock())
	case i == last-1 && p.clock().Sub(s.used[i]) <= access.RefreshGrace:
		if got != s.tokens[last] {
			t.Errorf("got %q for a repetition, want %q", got, s.tokens[last])
		}
	default:
		s.ended = true
		if got != "" {
			t.Errorf("got a token for one that was used before")
		}
	}
}

// TestConcurrentRefreshes lets clients with every token so far refresh and log out at once,
// without order: each token has one successor at most, and after a logout or a reuse none is
// valid.
func TestConcurrentRefreshes(t *testing.T) {
	t.Parallel()
	p := newProcesses(t)
	for round := range 40 {
		random := mathrand.New(mathrand.NewPCG(1, uint64(round)))
		var mu sync.Mutex
		known, next := []string{p.login(t)}, make(map[string]string)
		rejected, out := false, round%2 == 0
		var clients sync.WaitGroup
		for range 6 {
			picks := [3]uint64{random.Uint64(), random.Uint64(), random.Uint64()}
			clients.Go(func() {
				for i, pick := range picks {
					mu.Lock()
					mine := known[pick%uint64(len(known))]
					mu.Unlock()
					got := p.refresh(t, i%2, mine).Refresh
					mu.Lock()
					switch {
					case got == "":
						rejected = true
					case next[mine] == "":
						next[mine] = got
						known = append(known, got)
					case next[mine] != got:
						t.Errorf("round %d: two successors of one token", round)
					}
					mu.Unlock()
				}
			})
		}
		if out {
			clients.Go(func() { p.logout(t, known[0]) })
		}
		clients.Wait()
		want := "1"
		if out || rejected {
			want = "0"
		}
		if live := p.live(t); live != want {
			t.Fatalf("round %d: got %s live tokens, want %s (logout %t, rejected %t)", round, live, want, out, rejected)
		}
		timescaletest.Exec(t, p.dsn, "DELETE FROM refresh_token")
	}
}

// TestChangedAccountDuringLogin: a session is not started for an account that was disabled,
// or whose password was changed, after the login had read it.
func TestChangedAccountDuringLogin(t *testing.T) {
	t.Parallel()
	p := newProcesses(t)
	account, _, err := p.pool.AccountByName(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	start := func(n byte) error {
		_, err := p.pool.StartSession(t.Context(), directory.Session{
			Hash: [32]byte{n}, Family: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), Account: account.ID, Version: account.Version,
			Expires: p.clock().Add(time.Hour),
		}, trail.Entry{Action: "session.start", Detail: "{}"})
		return err
	}
	if err := start(1); err != nil {
		t.Fatal(err)
	}
	if err := p.pool.ChangePassword(t.Context(), account.ID, "", strings.Repeat("x", 60), trail.Entry{Detail: "{}"}); err != nil {
		t.Fatal(err)
	}
	if err := start(2); err == nil {
		t.Error("got a session by the password that was changed")
	}
	if live := p.live(t); live != "0" {
		t.Errorf("got %s live tokens, want 0", live)
	}
}

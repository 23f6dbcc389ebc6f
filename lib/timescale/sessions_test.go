package timescale

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
	"github.com/insighthub/insighthub/lib/trail"
)

// TestEndDuringRefresh: what ends a session while one of its tokens is being exchanged ends
// the successor too. A trigger holds the exchange just before it stores the successor, until
// the other call waits for it.
func TestEndDuringRefresh(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, s *sessionOf) error{
		"logout": func(t *testing.T, s *sessionOf) error {
			t.Helper()
			return s.pool.EndSession(t.Context(), s.session.Hash, trail.Entry{Action: "session.end", Detail: "{}"})
		},
		"disabled": func(t *testing.T, s *sessionOf) error {
			t.Helper()
			disabled := directory.Account{ID: s.session.Account, Disabled: true}
			_, err := s.pool.ChangeAccount(t.Context(), disabled, 0, trail.Entry{Detail: "{}"})
			return err
		},
		"password": func(t *testing.T, s *sessionOf) error {
			t.Helper()
			return s.pool.ChangePassword(t.Context(), s.session.Account, "", "another", trail.Entry{Detail: "{}"})
		},
		"reuse": func(t *testing.T, s *sessionOf) error {
			t.Helper()
			_, err := s.pool.RefreshSession(t.Context(), s.refresh(1, time.Minute), trail.Entry{Detail: "{}"}, repeatedRefresh())
			if err == nil {
				t.Error("reuse: got a successor")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.NewDatabase(t)
			s := newSession(t, dsn)
			if name == "reuse" { // of the token before the one that is being exchanged
				if _, err := s.pool.RefreshSession(t.Context(), s.refresh(1, 0), trail.Entry{}, repeatedRefresh()); err != nil {
					t.Fatal(err)
				}
			}
			execute(t, s.pool, `CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
				$$BEGIN PERFORM pg_advisory_xact_lock(1); RETURN new; END$$`)
			execute(t, s.pool, "CREATE TRIGGER hold BEFORE INSERT ON refresh_token FOR EACH ROW EXECUTE FUNCTION hold()")
			results := make(chan error, 2)
			pgtest.Connect(t, dsn, func(ctx context.Context, conn *pgx.Conn) error {
				if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(1)"); err != nil {
					return err
				}
				waiting := func(n string) func() bool {
					return func() bool {
						return query[string](t, s.pool, `SELECT count(*)::text FROM pg_stat_activity
							WHERE datname = current_database() AND wait_event_type = 'Lock'`) == n
					}
				}
				go func() {
					latest := s.refresh(1, 0)
					if name == "reuse" {
						latest = s.refresh(2, 0)
					}
					_, err := s.pool.RefreshSession(t.Context(), latest, trail.Entry{}, repeatedRefresh())
					results <- err
				}()
				eventually.True(t, "the exchange is held", waiting("1"))
				go func() { results <- end(t, s) }()
				eventually.True(t, "the other call waits", waiting("2"))
				_, err := conn.Exec(ctx, "SELECT pg_advisory_unlock(1)")
				return err
			})
			for range 2 {
				if err := <-results; err != nil {
					t.Error(err)
				}
			}
			if n := query[int64](t, s.pool, "SELECT count(*) FROM refresh_token WHERE revoked_at IS NULL"); n != 0 {
				t.Errorf("got %d live tokens afterwards, want 0", n)
			}
		})
	}
}

// sessionOf is a session of a new account, whose first token has the hash 1.
type sessionOf struct {
	pool    *Pool
	session directory.Session
}

func newSession(t *testing.T, dsn string) *sessionOf {
	t.Helper()
	pool := openPool(t, dsn)
	if _, err := Migrate(t.Context(), pool, FlavourPlain); err != nil {
		t.Fatal(err)
	}
	account, err := pool.CreateAccount(t.Context(), directory.Account{Name: "ada"}, "phc", trail.Entry{Detail: "{}"})
	if err != nil {
		t.Fatal(err)
	}
	s := directory.Session{
		Hash: [32]byte{1}, Family: "00000000-0000-4000-8000-000000000001", Account: account.ID, Expires: sessionStart().Add(time.Hour),
	}
	if _, err := pool.StartSession(t.Context(), s, trail.Entry{Detail: "{}"}); err != nil {
		t.Fatal(err)
	}
	return &sessionOf{pool, s}
}

func sessionStart() time.Time { return noon.Time() }

// refresh exchanges the token with the hash n for n + 1, some time after the start.
func (s *sessionOf) refresh(n byte, after time.Duration) directory.Refresh {
	return directory.Refresh{
		Hash: [32]byte{n}, Salt: [32]byte{n}, Successor: [32]byte{n + 1}, Expires: s.session.Expires,
		Now: sessionStart().Add(after), Grace: time.Second,
	}
}

func repeatedRefresh() trail.Occurrence {
	return trail.Occurrence{Action: trail.RepeatedRefresh, Reason: "repeated"}
}

// TestSessionsAreBounded: whoever has a password logs in a thousand times, and the table of
// refresh tokens grows no more; the newest sessions and those in use stay.
func TestSessionsAreBounded(t *testing.T) {
	s := newSession(t, pgtest.NewDatabase(t))
	start := func(n int) bool {
		t.Helper()
		another := s.session
		another.Hash = [32]byte{9, byte(n >> 8), byte(n)}
		another.Family = fmt.Sprintf("00000000-0000-4000-9000-%012d", n)
		denied, err := s.pool.StartSession(t.Context(), another, trail.Entry{Detail: "{}"})
		if err != nil {
			t.Fatal(err)
		}
		return denied
	}
	for n := range directory.MaxSessions + 20 {
		// With the session of before there are n+1.
		if denied, want := start(n), n+1 >= directory.MaxSessions; denied != want {
			t.Errorf("login %d ended a session that is denied: %t, want %t", n, denied, want)
		}
		if n == directory.MaxSessions/2 { // the first session is used, so that it is newer than half of them
			if refreshed, err := s.pool.RefreshSession(t.Context(), s.refresh(1, time.Minute), trail.Entry{Detail: "{}"},
				repeatedRefresh()); err != nil || refreshed.Account.ID != s.session.Account {
				t.Fatalf("%+v, %v", refreshed, err)
			}
		}
	}
	if n := query[int](t, s.pool, "SELECT count(DISTINCT family)::int FROM refresh_token"); n != directory.MaxSessions {
		t.Errorf("%d sessions, want %d", n, directory.MaxSessions)
	}
	for family, want := range map[string]bool{
		s.session.Family:                       true,
		"00000000-0000-4000-9000-000000000000": false,
		fmt.Sprintf("00000000-0000-4000-9000-%012d", directory.MaxSessions+19): true,
	} {
		if got := query[bool](t, s.pool, "SELECT EXISTS (SELECT FROM refresh_token WHERE family = $1)", family); got != want {
			t.Errorf("session %s exists: %v, want %v", family, got, want)
		}
	}
	denials, err := s.pool.Denials(t.Context())
	if err != nil || len(denials) != 21 {
		t.Fatalf("got %d denials, %v; want those of 21 sessions", len(denials), err)
	}
	for _, d := range denials {
		lives := query[bool](t, s.pool, "SELECT EXISTS (SELECT FROM refresh_token WHERE family = $1)", d.Session)
		if lives || d.Subject != string(s.session.Account) {
			t.Errorf("denied: %+v, whose session lives", d)
		}
	}
	// A session that has issued no token lately, or that was ended before, is not denied.
	execute(t, s.pool, "UPDATE refresh_token SET created_at = created_at - interval '12 minutes'")
	if start(1000) {
		t.Error("a session whose access tokens have expired is denied")
	}
	execute(t, s.pool, "UPDATE refresh_token SET created_at = now(), revoked_at = now()")
	if start(1001) {
		t.Error("a session that had ended is denied again")
	}
}

// TestSessionDenialsExpire: an ended session is denied for as long as its last access token
// can be valid, and no longer: whoever logs in and out all day fills no list.
func TestSessionDenialsExpire(t *testing.T) {
	t.Parallel()
	s := newSession(t, pgtest.NewDatabase(t))
	if err := s.pool.EndSession(t.Context(), s.session.Hash, trail.Entry{Action: "session.end", Detail: "{}"}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		later string
		want  int
	}{{"0", 1}, {"10 minutes 30 seconds", 1}, {"30 seconds", 0}} {
		execute(t, s.pool, "UPDATE denial SET expires_at = expires_at - interval '"+step.later+"'")
		if denials, err := s.pool.Denials(t.Context()); err != nil || len(denials) != step.want {
			t.Errorf("%s later: got %d denials, %v; want %d", step.later, len(denials), err, step.want)
		}
	}
}

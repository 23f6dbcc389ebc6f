package denylist_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/denylist/denylisttest"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

var _ denylist.Objects = (*denylisttest.Objects)(nil)

func delayed(d time.Duration) *denylisttest.Objects {
	o := &denylisttest.Objects{}
	o.Set(func(s *denylisttest.State) { s.Delay = d })
	return o
}

// rows is a database's table.
type rows struct {
	mu   sync.Mutex
	rows []directory.Denial
}

func (r *rows) Denials(context.Context) ([]directory.Denial, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]directory.Denial(nil), r.rows...), nil
}

func (r *rows) add(d directory.Denial) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, d)
}

func newReader(t *testing.T, o denylist.Tagged) *denylist.Reader {
	t.Helper()
	r, err := denylist.NewReader(denylist.ReaderConfig{
		Objects: o, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func denied(t *testing.T, r *denylist.Reader, want bool) {
	t.Helper()
	got, err := r.Denied(t.Context(), denylist.Token{Subject: "gw-1", Version: 1, Issued: time.Now().Unix()})
	if err != nil || got != want {
		t.Errorf("got denied %t, %v; want %t", got, err, want)
	}
}

func deny(t *testing.T, o *denylisttest.Objects) {
	t.Helper()
	source := &rows{rows: []directory.Denial{{Subject: "gw-1", Version: 2, Time: time.Now()}}}
	if err := (denylist.Publisher{Source: source, Objects: o}).Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestDeniedWithinSeconds: at any rate of requests, a token is rejected with the first
// request that comes more than RefreshEvery after the publication.
func TestDeniedWithinSeconds(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{
		time.Millisecond, 100 * time.Millisecond, time.Second, 2400 * time.Millisecond, 4 * time.Second, 5 * time.Second, time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			o := delayed(20 * time.Millisecond)
			r := newReader(t, o)
			for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(every) {
				denied(t, r, false)
			}
			deny(t, o)
			published := time.Now()
			token := denylist.Token{Subject: "gw-1", Version: 1, Issued: published.Unix()}
			for {
				start := time.Now()
				got, err := r.Denied(t.Context(), token)
				if err != nil {
					t.Fatal(err)
				}
				if got {
					break
				}
				if start.Sub(published) >= denylist.RefreshEvery {
					t.Fatalf("a request each %v: accepted %v after the publication", every, start.Sub(published))
				}
				time.Sleep(every)
			}
			// It stays so, and the tokens of the next version are accepted.
			time.Sleep(time.Hour)
			denied(t, r, true)
			if got, err := r.Denied(t.Context(), denylist.Token{Subject: "gw-1", Version: 2}); got || err != nil {
				t.Errorf("the next version: got %t, %v", got, err)
			}
			synctest.Wait()
		})
	}
}

// expiring is a database's table of sessions that ended, with the clock of the tests.
type expiring struct{ rows }

func (e *expiring) Denials(ctx context.Context) ([]directory.Denial, error) {
	all, err := e.rows.Denials(ctx)
	var left []directory.Denial
	for _, d := range all {
		if time.Since(d.Time) < directory.SessionDenial {
			left = append(left, d)
		}
	}
	return left, err
}

// TestLogoutsOfOneAccount: a script logs in and out, at any rate that the routes allow, for an
// hour. Each token is accepted at once and refused after its logout until it expires, and the
// person's console, which refreshes, is never refused.
func TestLogoutsOfOneAccount(t *testing.T) {
	t.Parallel()
	// It expires with the rows in the database.
	if least := token.PersonLifetime + token.ClockSkew; directory.SessionDenial < least || directory.SessionDenial > least+time.Minute {
		t.Errorf("an ended session is denied for %v, and its tokens live for %v", directory.SessionDenial, least)
	}
	for _, each := range []time.Duration{400 * time.Millisecond, time.Second, 10 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			o, source := &denylisttest.Objects{}, &expiring{}
			r := newReader(t, o)
			accepted := func(token denylist.Token) bool {
				t.Helper()
				denied, err := r.Denied(t.Context(), token)
				if err != nil {
					t.Fatal(err)
				}
				return !denied
			}
			console := denylist.Token{Subject: "ada", Session: "console", Version: 1}
			var ended []denylist.Token
			for n, end := 0, time.Now().Add(time.Hour); time.Now().Before(end); n++ {
				if time.Now().Unix()-console.Issued >= 540 {
					console.Issued = time.Now().Unix()
				}
				login := denylist.Token{Subject: "ada", Session: fmt.Sprint(n), Version: 1, Issued: time.Now().Unix()}
				for what, token := range map[string]denylist.Token{"the login": login, "the console": console} {
					if !accepted(token) {
						t.Fatalf("each %v: %s is refused at logout %d", each, what, n)
					}
				}
				source.add(directory.Denial{Subject: "ada", Session: login.Session, Time: time.Now()})
				if n%50 == 0 || each >= time.Second {
					if err := (denylist.Publisher{Source: source, Objects: o}).Publish(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				ended = append(ended, login)
				time.Sleep(each)
			}
			if err := (denylist.Publisher{Source: source, Objects: o}).Publish(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(denylist.RefreshEvery)
			for _, token := range ended {
				if time.Now().Unix()-token.Issued < 630 && accepted(token) {
					t.Errorf("each %v: %+v is accepted", each, token)
				}
			}
			synctest.Wait()
		})
	}
}

// TestReadsAreFew: the object is read by time, not by requests, and under load no request
// waits for it but the first.
func TestReadsAreFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := delayed(100 * time.Millisecond)
		r := newReader(t, o)
		denied(t, r, false)
		const minutes = 5
		for end := time.Now().Add(minutes * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			start := time.Now()
			denied(t, r, false)
			if waited := time.Since(start); waited > 0 {
				t.Fatalf("a request waited %v", waited)
			}
		}
		if most := minutes*60*10/25 + 2; o.State().Reads > most {
			t.Errorf("got %d reads in %d minutes, want at most %d", o.State().Reads, minutes, most)
		}
		synctest.Wait()
	})
}

// TestWithoutS3: the last list is used for MaxAge, what it denies stays denied, and requests
// do not wait long. Then the caller decides.
func TestWithoutS3(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*denylisttest.State){
		"down":    func(s *denylisttest.State) { s.Down = true },
		"hangs":   func(s *denylisttest.State) { s.Hang = true },
		"deleted": func(s *denylisttest.State) { s.ETag = "" },
		"broken":  func(s *denylisttest.State) { s.Body, s.ETag = []byte("{"), "broken" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := &denylisttest.Objects{}
				deny(t, o)
				r := newReader(t, o)
				denied(t, r, true)
				good := o.State()
				o.Set(fail)
				other := denylist.Token{Subject: "gw-2", Version: 1, Issued: time.Now().Unix()}
				start, waited := time.Now(), time.Duration(0)
				for time.Since(start) < denylist.MaxAge {
					before := time.Now()
					if got, err := r.Denied(t.Context(), other); err != nil || got {
						t.Fatalf("after %v: got %t, %v", time.Since(start), got, err)
					}
					waited += time.Since(before)
					denied(t, r, true)
					time.Sleep(250 * time.Millisecond)
				}
				if waited > denylist.MaxAge/5 {
					t.Errorf("requests waited %v in %v", waited, denylist.MaxAge)
				}
				time.Sleep(time.Second)
				if got, err := r.Denied(t.Context(), other); !errors.Is(err, telemetry.ErrUnavailable) || got {
					t.Errorf("after MaxAge: got %t, %v; want telemetry.ErrUnavailable", got, err)
				}
				denied(t, r, true)
				o.Set(func(s *denylisttest.State) { s.Down, s.Hang, s.Body, s.ETag = false, false, good.Body, good.ETag })
				time.Sleep(2 * time.Second)
				denied(t, r, true)
				if got, err := r.Denied(t.Context(), other); err != nil || got {
					t.Errorf("after S3 returned: got %t, %v", got, err)
				}
				synctest.Wait()
			})
		})
	}
}

// TestColdWithoutS3: an environment that never read a list does not know whether a token is
// denied.
func TestColdWithoutS3(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &denylisttest.Objects{}
		o.Set(func(s *denylisttest.State) { s.Down = true })
		r := newReader(t, o)
		if got, err := r.Denied(t.Context(), denylist.Token{Subject: "gw-1"}); !errors.Is(err, telemetry.ErrUnavailable) || got {
			t.Errorf("got %t, %v; want telemetry.ErrUnavailable", got, err)
		}
		o.Set(func(s *denylisttest.State) { s.Down = false })
		time.Sleep(time.Second)
		denied(t, r, false) // there is no object: nothing was denied
		synctest.Wait()
	})
}

// TestFrozen: a read that was in progress when the environment was frozen fails after the
// thaw by its timeout. The request reads again, and does not judge by the old list.
func TestFrozen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &denylisttest.Objects{}
		r := newReader(t, o)
		denied(t, r, false)
		time.Sleep(3 * time.Second)
		o.Set(func(s *denylisttest.State) { s.Hang = true })
		denied(t, r, false) // begins a read, and does not wait
		synctest.Wait()
		o.Set(func(s *denylisttest.State) { s.Hang = false })
		time.Sleep(denylist.ReadTimeout - time.Millisecond)
		deny(t, o)
		time.Sleep(2 * time.Second)
		denied(t, r, true)
		synctest.Wait()
	})
}

// TestPublishersDoNotLoseEachOther: each publishes after its own row; none may overwrite the
// other's with rows that it read before.
func TestPublishersDoNotLoseEachOther(t *testing.T) {
	t.Parallel()
	o, source := &denylisttest.Objects{}, &rows{}
	var failed atomic.Int64
	var all sync.WaitGroup
	const n = 4
	for i := range n {
		all.Go(func() {
			source.add(directory.Denial{Subject: string(rune('a' + i)), Version: 2, Time: time.Now()})
			if err := (denylist.Publisher{Source: source, Objects: o}).Publish(t.Context()); err != nil {
				failed.Add(1)
			}
		})
	}
	all.Wait()
	if failed.Load() > 0 {
		t.Fatalf("%d publications failed", failed.Load())
	}
	r := newReader(t, o)
	for i := range n {
		token := denylist.Token{Subject: string(rune('a' + i)), Version: 1}
		if got, err := r.Denied(t.Context(), token); err != nil || !got {
			t.Errorf("%+v: got %t, %v; want denied", token, got, err)
		}
	}
}

// TestPublishAgain: what one call could not publish the next one does, and a publication that
// changes nothing writes nothing.
func TestPublishAgain(t *testing.T) {
	t.Parallel()
	o, source := &denylisttest.Objects{}, &rows{}
	o.Set(func(s *denylisttest.State) { s.Down = true })
	source.add(directory.Denial{Subject: "gw-1", Version: 2, Time: time.Now()})
	p := denylist.Publisher{Source: source, Objects: o}
	err := p.Publish(t.Context())
	if !errors.Is(err, telemetry.ErrUnavailable) || errors.Is(err, telemetry.ErrConflict) {
		t.Errorf("without S3: got %v, want telemetry.ErrUnavailable", err)
	}
	o.Set(func(s *denylisttest.State) { s.Down = false })
	for range 3 {
		if err := p.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if o.State().ETag != "x" {
		t.Errorf("got %d writes, want 1", len(o.State().ETag))
	}
	denied(t, newReader(t, o), true)
}

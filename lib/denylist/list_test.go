package denylist

import (
	"fmt"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
)

// at is second n of the tests' time.
func at(n int) time.Time { return time.Unix(1_800_000_000+int64(n), 0).UTC() }

func listOf(t *testing.T, denials ...directory.Denial) *List {
	t.Helper()
	raw, err := encode(denials)
	if err != nil {
		t.Fatal(err)
	}
	l, err := parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestDenies(t *testing.T) {
	t.Parallel()
	l := listOf(
		t,
		directory.Denial{Subject: "gw-1", Version: 3, Time: at(1)},
		directory.Denial{Subject: "ada", Session: "s-1", Time: at(2)},
		directory.Denial{Subject: "ada", Version: 2, Time: at(3)},
		directory.Denial{Subject: "ada", Version: 5, Time: at(4)},
		directory.Denial{Subject: "https://idp|eve", Time: at(10)},
	)
	for _, c := range []struct {
		token Token
		want  bool
	}{
		{Token{Subject: "gw-1", Version: 2, Issued: at(0).Unix()}, true},
		{Token{Subject: "gw-1", Issued: at(100).Unix()}, true}, // says no version
		{Token{Subject: "gw-1", Version: 3, Issued: at(1).Unix()}, false},
		{Token{Subject: "gw-2", Version: 1, Issued: at(0).Unix()}, false},
		{Token{Subject: "ada", Session: "s-1", Version: 9, Issued: at(100).Unix()}, true},
		{Token{Subject: "ada", Session: "s-2", Version: 4, Issued: at(100).Unix()}, true},
		// Issued in the second of the denial, for the version after it: a right that was regained.
		{Token{Subject: "ada", Session: "s-2", Version: 5, Issued: at(4).Unix()}, false},
		{Token{Subject: "bob", Session: "s-1", Version: 1, Issued: at(0).Unix()}, false},
		{Token{Subject: "https://idp|eve", Issued: at(10).Unix()}, true},
		{Token{Subject: "https://idp|eve", Issued: at(13).Unix()}, false},
		{Token{}, false},
	} {
		if got := l.Denies(c.token); got != c.want {
			t.Errorf("%+v: got %t, want %t", c.token, got, c.want)
		}
	}
	if new(List).Denies(Token{Subject: "ada"}) {
		t.Error("the zero list denies a token")
	}
}

// TestSessionsOfOneSubject: whoever ends more sessions than are listed has the oldest of them
// denied by a time, which is in the past: the newest are denied one by one, and nobody else's
// place in the list is taken.
func TestSessionsOfOneSubject(t *testing.T) {
	t.Parallel()
	denials := []directory.Denial{{Subject: "bob", Session: "s-1", Time: at(0)}}
	const ended = 10 * MaxDenials
	for i := range ended {
		denials = append(denials, directory.Denial{Subject: "ada", Session: fmt.Sprint(i), Time: at(i)})
	}
	l := listOf(t, denials...)
	for i := range ended {
		if token := (Token{Subject: "ada", Session: fmt.Sprint(i), Issued: at(i).Unix()}); !l.Denies(token) {
			t.Fatalf("%+v is accepted", token)
		}
	}
	const last = ended - 1
	for token, want := range map[Token]bool{
		{Subject: "ada", Session: "long ago", Version: 9, Issued: at(0).Unix()}:                   true,
		{Subject: "ada", Session: "open", Version: 9, Issued: at(last - MaxSessions + 10).Unix()}: true,
		{Subject: "ada", Session: "open", Version: 9, Issued: at(last - MaxSessions + 11).Unix()}: false,
		{Subject: "ada", Session: "next", Version: 9, Issued: at(last).Unix()}:                    false,
		{Subject: "ada", Session: fmt.Sprint(last), Version: 9, Issued: at(last).Unix()}:          true,
		{Subject: "bob", Session: "s-1", Version: 9, Issued: at(last).Unix()}:                     true,
		{Subject: "bob", Session: "s-2", Version: 9, Issued: at(0).Unix()}:                        false,
	} {
		if got := l.Denies(token); got != want {
			t.Errorf("%+v: got %t, want %t", token, got, want)
		}
	}
	if l.until != 0 {
		t.Error("one subject filled the list")
	}
}

// TestManyAtOnce: however fast one account logs in and out, each token is refused after its
// logout, and the next one is accepted although its clock is behind.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	for _, each := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond, time.Second, time.Minute} {
		var denials []directory.Denial
		now := at(0)
		for i := range MaxSessions + 1000 {
			denials = append(denials, directory.Denial{Subject: "ada", Session: fmt.Sprint(i), Time: now})
			if i%500 == 0 || i == MaxSessions+999 {
				l := listOf(t, denials...)
				if token := (Token{Subject: "ada", Session: "next", Issued: now.Add(-clockMargin).Unix()}); l.Denies(token) {
					t.Errorf("each %v: the login after logout %d is denied", each, i)
				}
				// Signed by a refresh that was in progress.
				if token := (Token{Subject: "ada", Session: "0", Issued: at(0).Add(foldMargin).Unix()}); !l.Denies(token) {
					t.Errorf("each %v: the first session is accepted after logout %d", each, i)
				}
			}
			now = now.Add(each)
		}
	}
}

// TestFullOfSessions: if many people end many sessions, each has fewer listed, before anything
// of others is denied by a time.
func TestFullOfSessions(t *testing.T) {
	t.Parallel()
	denials := []directory.Denial{{Subject: "gw-1", Version: 2, Time: at(0)}}
	const people, each = 200, 300
	for i := range each {
		for p := range people {
			denials = append(denials, directory.Denial{Subject: fmt.Sprint("u-", p), Session: fmt.Sprint(p, "-", i), Time: at(i)})
		}
	}
	l := listOf(t, denials...)
	if l.until != 0 {
		t.Error("everybody is denied")
	}
	for p := range people {
		name := fmt.Sprint("u-", p)
		for i := range each {
			if !l.Denies(Token{Subject: name, Session: fmt.Sprint(p, "-", i), Issued: at(i).Unix()}) {
				t.Fatalf("session %d of %s is accepted", i, name)
			}
		}
		if l.Denies(Token{Subject: name, Session: "next", Issued: at(each).Unix()}) {
			t.Errorf("the next login of %s is denied", name)
		}
	}
	old, next := Token{Subject: "gw-1", Version: 1, Issued: at(0).Unix()}, Token{Subject: "gw-1", Version: 2, Issued: at(0).Unix()}
	if !l.Denies(old) || l.Denies(next) {
		t.Error("the gateway has lost its entry")
	}
}

// TestOneSessionManyTimes: a session that is denied many times is one session.
func TestOneSessionManyTimes(t *testing.T) {
	t.Parallel()
	var denials []directory.Denial
	for i := range 2 * MaxSessions {
		denials = append(denials, directory.Denial{Subject: "ada", Session: "s-1", Time: at(i)})
	}
	l := listOf(t, denials...)
	if !l.Denies(Token{Subject: "ada", Session: "s-1", Issued: at(0).Unix()}) {
		t.Error("the session is accepted")
	}
	if l.Denies(Token{Subject: "ada", Session: "s-2", Issued: at(0).Unix()}) {
		t.Error("another session of the person is denied")
	}
}

// TestOverflow: a list that is full never accepts a token that it was to deny. It denies
// more: everybody's tokens until the newest denial for which it has no room.
func TestOverflow(t *testing.T) {
	t.Parallel()
	const more = 100
	var denials []directory.Denial
	for i := range MaxDenials + more {
		denials = append(denials, directory.Denial{Subject: fmt.Sprint("u-", i), Version: 2, Time: at(i)})
	}
	// Again, at the end: the oldest are those that were denied last the longest ago.
	again := directory.Denial{Subject: "u-0", Version: 3, Time: at(len(denials))}
	denials = append(denials, again)
	raw, err := encode(denials)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 1<<20 {
		t.Errorf("got %d bytes, want at most 1 MiB", len(raw))
	}
	l := listOf(t, denials...)
	for i := range len(denials) - 1 {
		if token := (Token{Subject: fmt.Sprint("u-", i), Version: 1, Issued: at(i).Unix()}); !l.Denies(token) {
			t.Fatalf("%+v is accepted", token)
		}
	}
	for token, want := range map[Token]bool{
		{Subject: "bob", Version: 1, Issued: at(more - 1).Unix()}:     true,
		{Subject: "bob", Version: 1, Issued: at(more + 11).Unix()}:    false,
		{Subject: "u-0", Version: 2, Issued: at(MaxDenials).Unix()}:   true,
		{Subject: "u-1", Version: 2, Issued: at(MaxDenials).Unix()}:   false, // regained
		{Subject: "u-500", Version: 1, Issued: at(MaxDenials).Unix()}: true,
	} {
		if got := l.Denies(token); got != want {
			t.Errorf("%+v: got %t, want %t", token, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"until":1,"denials":[{"subject":"a","session":"b"},{"subject":"a","version":2}]}`))
	f.Add([]byte(`{"denials":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if l, err := parse(raw); err == nil {
			l.Denies(Token{Subject: "a", Issued: 5})
		}
	})
}

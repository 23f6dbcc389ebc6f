package attempt

import (
	"fmt"
	"testing"
	"time"
)

// world is all that is stored, and how many passwords were verified.
type world struct {
	now      time.Time
	counters map[Key]Counter
	sources  map[Keys]source
	verified int
}

type source struct {
	counter   Counter
	succeeded time.Time
}

func newWorld() *world {
	return &world{
		now:      time.Date(2026, 11, 30, 6, 0, 0, 0, time.UTC),
		counters: make(map[Key]Counter), sources: make(map[Keys]source),
	}
}

// login tries a password and returns whether the attempt was locked.
func (w *world) login(name, address string, right bool) (locked bool) {
	keys := KeysOf(name, address)
	of := w.sources[keys]
	s := State{Name: w.counters[keys.Name], Network: w.counters[keys.Network], Source: of.counter, Succeeded: of.succeeded}
	if locked = !s.Begin(w.now).IsZero(); !locked {
		w.verified++
		if right {
			s.Succeed(w.now)
		}
	}
	w.counters[keys.Name], w.counters[keys.Network] = s.Name, s.Network
	w.sources[keys] = source{s.Source, s.Succeeded}
	return locked
}

// TestStaleConsole: consoles that repeat an old password each second for a day, behind the
// address of a plant, lock out nobody else, and try few passwords.
func TestStaleConsole(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{false, true} {
		w := newWorld()
		if known {
			w.login("stale-0", "192.0.2.1", true)
		}
		begin, shift := w.now, 0
		for second := range 24 * 60 * 60 {
			w.now = begin.Add(time.Duration(second) * time.Second)
			for i := range 3 {
				w.login(fmt.Sprint("stale-", i), "192.0.2.1", false)
			}
			if second%60 == 0 { // somebody else of the plant, new at this address; some mistype first
				name := fmt.Sprint("person-", shift)
				if shift++; shift%4 == 0 && w.login(name, "192.0.2.1", false) {
					t.Fatalf("known %t: %s is locked out before a typing error, at %v", known, name, w.now)
				}
				if w.login(name, "192.0.2.1", true) {
					t.Fatalf("known %t: %s is locked out, at %v", known, name, w.now)
				}
			}
		}
		// 5 are free, 10 waits double, then one in 15 minutes: at most 115 a day and console.
		if others := shift + shift/4; w.verified-others > 3*115+1 {
			t.Errorf("known %t: got %d passwords of the stale consoles verified in a day, want at most 346", known, w.verified-others)
		}
		if w.login("stale-1", "198.51.100.1", true) != true {
			t.Error("the name of a stale console is not locked elsewhere: its counter does not count")
		}
	}
}

// TestSpraying: one password for many names from one address is slowed, also from the 2^64
// addresses of one IPv6 client.
func TestSpraying(t *testing.T) {
	t.Parallel()
	for kind, address := range map[string]func(i int) string{
		"IPv4":        func(int) string { return "203.0.113.7" },
		"mapped IPv4": func(int) string { return "::ffff:203.0.113.7" },
		"IPv6":        func(i int) string { return fmt.Sprintf("2001:db8:0:1:%x:%x::1", i%65536, i/65536) },
	} {
		w := newWorld()
		begin := w.now
		for second := range 24 * 60 * 60 {
			w.now = begin.Add(time.Duration(second) * time.Second)
			w.login(fmt.Sprint("user-", second), address(second), false)
		}
		if w.verified > FreeByNetwork+11+96 {
			t.Errorf("%s: got %d names tried in a day, want at most 157", kind, w.verified)
		}
		w.verified = 0
		if w.login("user-0", "2001:db8:0:2::1", false); w.verified != 1 {
			t.Errorf("%s: a neighbour's network is locked", kind)
		}
	}
}

// TestDistributedGuessing: guesses at one name from many addresses are slowed as those from
// one, and do not lock out a person at a place where the person has been.
func TestDistributedGuessing(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.login("ada", "192.0.2.1", true)
	begin := w.now
	w.verified = 0
	for second := range 24 * 60 * 60 {
		w.now = begin.Add(time.Duration(second) * time.Second)
		w.login("ada", fmt.Sprintf("2001:db8:%x:%x::1", second%65536, second/65536), false)
		if second%3600 == 0 {
			mistyped := second%7200 == 0
			if mistyped && w.login("ada", "192.0.2.1", false) || w.login("ada", "192.0.2.1", true) {
				t.Fatalf("ada is locked out at her place, at %v", w.now)
			}
		}
	}
	own := 24 + 12
	if guesses := w.verified - own; guesses > FreeByName+11+96 {
		t.Errorf("got %d guesses verified in a day, want at most 112", guesses)
	}
	if !w.login("ada", "198.51.100.1", true) {
		t.Error("another place is not locked meanwhile: her logins reset the strangers' count")
	}
	// A guesser at her own place shares her counter, and is slowed by it.
	w.verified, begin = 0, w.now
	for second := range 24 * 60 * 60 {
		w.now = begin.Add(time.Duration(second) * time.Second)
		w.login("ada", "192.0.2.1", false)
	}
	if w.verified > FreeByName+11+96 {
		t.Errorf("got %d guesses from a known place verified in a day, want at most 112", w.verified)
	}
}

// TestForgetting: typing errors are forgiven by a success at the same place, and forgotten.
func TestForgetting(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for range 3 {
		w.login("ada", "192.0.2.1", false)
	}
	w.login("ada", "192.0.2.1", true)
	keys := KeysOf("ada", "192.0.2.1")
	if w.counters[keys.Name].Failures != 0 || w.counters[keys.Network].Failures != 0 || w.sources[keys].counter.Failures != 0 {
		t.Errorf("got %+v and %+v after a success, want no failures", w.counters, w.sources)
	}
	w.now = w.now.Add(KnownFor + time.Second)
	for range FreeByName {
		w.login("ada", "192.0.2.1", false) // not known any more: the name's counter counts
	}
	if !w.login("ada", "192.0.2.2", true) {
		t.Error("a network is known after KnownFor")
	}
	w.now = w.now.Add(ForgetName + time.Minute)
	if w.login("ada", "192.0.2.2", false) || w.counters[keys.Name].Failures != 1 {
		t.Errorf("got %+v a day later, want one failure", w.counters[keys.Name])
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::/64",
		"2001:DB8:0:0:ffff::1": "2001:db8::/64", "fe80::1%eth0": "fe80::/64", "": "", "unknown": "unknown",
	} {
		if got := Network(address); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}

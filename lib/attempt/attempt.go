// Package attempt limits how many passwords can be tried, without letting strangers lock
// people out.
//
// An attempt is counted as failed before its password is verified, so that concurrent ones
// count each other; a success takes it back. There are three counters:
//
//   - of a name: all attempts from networks that are not known for it;
//   - of a name from a network that is known for it, because the name logged in from there
//     within KnownFor. Who is known waits for this counter only, so attempts from elsewhere,
//     at this name or from this network at others, lock nobody out;
//   - of a network: the names that failed from there and did not succeed since, each once. A
//     console that repeats an old password for a day counts as one.
//
// A locked attempt is not counted anywhere. After some free failures the wait doubles with
// each further one (ADR 37).
package attempt

import (
	"crypto/sha256"
	"net/netip"
	"time"
)

// Key is the SHA-256 of what attempts have in common: the database has no names of people
// who do not exist, and no addresses.
type Key [32]byte

// Keys says whose password is tried, and from where.
type Keys struct{ Name, Network Key }

// KeysOf returns the keys of an attempt at a name in its canonical form, from an address.
func KeysOf(name, address string) Keys {
	return Keys{key("name", name), key("address", Network(address))}
}

func key(kind, value string) Key { return sha256.Sum256([]byte(kind + "\x00" + value)) }

// hostBits64 is the length of the prefix that one IPv6 client has for itself: it chooses the
// other 64 bits (RFC 4862, RFC 8981).
const hostBits64 = 64

// Network returns what one client has of the address space: its IPv4 address, or the /64 of
// its IPv6 address. A text that is no address is returned unchanged.
func Network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(hostBits64)
	if err != nil {
		return address
	}
	return prefix.String()
}

const (
	// FreeByName is how many failures of a name are free.
	FreeByName = 5
	// FreeByNetwork is how many names may fail from a network: the typing errors of a morning
	// shift behind one address.
	FreeByNetwork = 50
	// FirstWait is the wait after the free failures. Each further one doubles it.
	FirstWait = time.Second
	// LongestWait is the longest wait.
	LongestWait = 15 * time.Minute
	// ForgetName is the time without a counted failure after which a name's counter is reset.
	ForgetName = 24 * time.Hour
	// ForgetNetwork is the same of a network's.
	ForgetNetwork = time.Hour
	// KnownFor is how long a network is known for a name after a success.
	KnownFor = 30 * 24 * time.Hour
	// MaxKnown is how many networks are known for a name: the latest.
	MaxKnown = 20
)

// Counter counts failures that have something in common.
type Counter struct {
	Failures    int
	Last        time.Time
	LockedUntil time.Time // zero: not locked
}

// count adds a failure.
func (c *Counter) count(free int, forget time.Duration, now time.Time) {
	if now.Sub(c.Last) > forget {
		*c = Counter{}
	}
	c.Failures++
	c.Last, c.LockedUntil = now, time.Time{}
	if over := c.Failures - free; over >= 0 {
		const most = 30 // doublings, far beyond LongestWait
		c.LockedUntil = now.Add(min(LongestWait, FirstWait<<min(over, most)))
	}
}

// forgive takes back n failures.
func (c *Counter) forgive(n, free int) {
	if c.Failures = max(0, c.Failures-n); c.Failures < free {
		c.LockedUntil = time.Time{}
	}
}

func (c *Counter) locked(now time.Time) bool { return c.LockedUntil.After(now) }

// State is what is stored about an attempt's name and network.
type State struct {
	Name, Network Counter
	// Source counts the failures of the name from the network since its last success there.
	Source Counter
	// Succeeded is when the name last succeeded from the network; zero: never.
	Succeeded time.Time
}

// Known reports whether the name succeeded from the network lately.
func (s *State) Known(now time.Time) bool {
	return !s.Succeeded.IsZero() && now.Sub(s.Succeeded) <= KnownFor
}

// Locked returns until when an attempt must be rejected; zero: it may be made.
func (s *State) Locked(now time.Time) time.Time {
	if s.Known(now) {
		if s.Source.locked(now) {
			return s.Source.LockedUntil
		}
		return time.Time{}
	}
	var until time.Time
	for _, c := range []Counter{s.Name, s.Network} {
		if c.locked(now) && c.LockedUntil.After(until) {
			until = c.LockedUntil
		}
	}
	return until
}

// Begin counts an attempt as failed, unless it is locked: it then returns the end of the lock
// and changes nothing.
func (s *State) Begin(now time.Time) (locked time.Time) {
	if until := s.Locked(now); !until.IsZero() {
		return until
	}
	known := s.Known(now)
	if !known {
		s.Name.count(FreeByName, ForgetName, now)
	}
	s.Source.count(FreeByName, ForgetName, now)
	if s.Source.Failures == 1 {
		s.Network.count(FreeByNetwork, ForgetNetwork, now)
	}
	if !known {
		s.Source.LockedUntil = time.Time{} // the name's counter limits it
	}
	return time.Time{}
}

// Succeed takes back what Begin counted, with the earlier failures of the name from this
// network: somebody there mistyped. Failures from elsewhere stay counted.
func (s *State) Succeed(now time.Time) {
	n := s.Source.Failures
	if !s.Known(now) {
		s.Name.forgive(n, FreeByName)
	}
	if n > 0 {
		s.Network.forgive(1, FreeByNetwork)
	}
	s.Source, s.Succeeded = Counter{}, now
}

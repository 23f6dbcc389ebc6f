package hub

import (
	"sync"
	"time"

	"github.com/insighthub/insighthub/lib/rtc"
)

// admission counts what addresses and subjects have open.
type admission struct {
	limits Limits

	mu       sync.Mutex
	pending  map[string]int // sockets before hello, by address
	subjects map[string]*subject
}

// subjectSessions is how many sessions' full rate a subject may use at once.
const subjectSessions = 4

// subject is what the sessions of one account or gateway share.
type subject struct {
	sessions int
	// lost are those that may be resumed.
	lost   int
	bucket bucket
}

func newAdmission(limits Limits) admission {
	return admission{limits: limits, pending: make(map[string]int), subjects: make(map[string]*subject)}
}

// enter counts a socket of an address; false if there are too many before hello.
func (a *admission) enter(address string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending[address] >= a.limits.Pending {
		return false
	}
	a.pending[address]++
	return true
}

// greeted ends what enter began.
func (a *admission) greeted(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending[address]--; a.pending[address] <= 0 {
		delete(a.pending, address)
	}
}

// open counts a session of a subject; false if there are too many.
func (a *admission) open(name string, kind rtc.PeerKind, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.subjects[name]
	if s == nil {
		s = &subject{bucket: newBucket(subjectSessions*rateOf(a.limits, kind), a.limits.Burst, now)}
		a.subjects[name] = s
	}
	if s.sessions >= a.limits.PerSubject {
		return false
	}
	s.sessions++
	return true
}

// close ends what open began.
func (a *admission) close(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.subjects[name]; s != nil {
		s.sessions--
		a.forget(name, s)
	}
}

// park counts a session that may be resumed; false if the subject has as many already: who
// opens and drops sockets must not fill the memory.
func (a *admission) park(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.subjects[name]
	if s == nil || s.lost >= a.limits.PerSubject {
		return false
	}
	s.lost++
	return true
}

// unpark ends what park began.
func (a *admission) unpark(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.subjects[name]; s != nil {
		s.lost--
		a.forget(name, s)
	}
}

// forget drops a subject without sessions. Callers hold mu.
func (a *admission) forget(name string, s *subject) {
	if s.sessions <= 0 && s.lost <= 0 {
		delete(a.subjects, name)
	}
}

// take takes a message from what the sessions of the subject may send together.
func (a *admission) take(name string, now time.Time) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.subjects[name]; s != nil {
		return s.bucket.take(now)
	}
	return 0
}

// rateOf returns the messages a second of a session. A gateway answers many viewers.
func rateOf(limits Limits, kind rtc.PeerKind) int {
	const viewers = 10
	if kind == rtc.Gateway {
		return viewers * limits.Rate
	}
	return limits.Rate
}

// bucket is a token bucket.
type bucket struct {
	perSecond, size, level float64
	at                     time.Time
}

func newBucket(perSecond, seconds int, now time.Time) bucket {
	size := float64(perSecond * seconds)
	return bucket{float64(perSecond), size, size, now}
}

// take takes one, or returns how long until there is one.
func (b *bucket) take(now time.Time) (wait time.Duration) {
	b.level = min(b.size, b.level+max(0, now.Sub(b.at).Seconds())*b.perSecond)
	b.at = now
	if b.level < 1 {
		return time.Duration((1 - b.level) / b.perSecond * float64(time.Second))
	}
	b.level--
	return 0
}

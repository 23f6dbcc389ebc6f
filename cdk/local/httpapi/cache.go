package httpapi

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"sync"
	"time"
)

// cache holds an authorizer's decisions. Concurrent requests with the same identity share
// one invocation.
type cache struct {
	ttl     time.Duration
	size    int
	timeout time.Duration

	mu      sync.Mutex
	entries map[string]*cached
	// denied are the entries of denials, the oldest first. They have a tenth of the room: a
	// flood of garbage must not evict the decisions for those who have a token.
	denied []denial
}

type denial struct {
	key   string
	entry *cached
}

type cached struct {
	done     chan struct{} // closed when the other fields are set
	decision decision
	err      error
	expires  time.Time // zero during the invocation
}

func newCache(a *Authorizer) *cache {
	return &cache{
		ttl: a.ResultTTL, size: cmp.Or(a.CacheSize, defaultCacheSize), timeout: cmp.Or(a.Timeout, defaultTimeout),
		entries: make(map[string]*cached),
	}
}

// get returns the cached decision for identity or calls invoke. Without identity sources
// or a TTL each request calls invoke.
func (c *cache) get(ctx context.Context, identity []string, now time.Time, invoke func() (decision, error)) (decision, error) {
	if c.ttl == 0 || len(identity) == 0 {
		return invoke()
	}
	key := cacheKey(identity)
	c.mu.Lock()
	if entry, ok := c.entries[key]; ok && (entry.expires.IsZero() || now.Before(entry.expires)) {
		c.mu.Unlock()
		select {
		case <-entry.done:
			return entry.decision, entry.err
		case <-ctx.Done():
			return decision{}, ctx.Err()
		}
	}
	entry := &cached{done: make(chan struct{})}
	c.makeRoom(now)
	c.entries[key] = entry
	c.mu.Unlock()

	d, err := invoke()
	c.mu.Lock()
	entry.decision, entry.err = d, err
	entry.expires = now.Add(c.ttl)
	switch {
	case err != nil:
		c.remove(denial{key, entry})
	case !d.allowed && d.policy == nil:
		c.denied = append(c.denied, denial{key, entry})
		for len(c.denied) > max(1, c.size/10) {
			c.remove(c.denied[0])
			c.denied = c.denied[1:]
		}
	}
	c.mu.Unlock()
	close(entry.done)
	return d, err
}

// remove removes an entry, unless another one has replaced it. Callers hold mu.
func (c *cache) remove(d denial) {
	if c.entries[d.key] == d.entry {
		delete(c.entries, d.key)
	}
}

// makeRoom evicts the expired entries, and if that is not enough any others. Callers hold
// mu.
func (c *cache) makeRoom(now time.Time) {
	if len(c.entries) < c.size {
		return
	}
	for key, entry := range c.entries {
		if !entry.expires.IsZero() && !now.Before(entry.expires) {
			delete(c.entries, key)
		}
	}
	for key := range c.entries {
		if len(c.entries) < c.size {
			return
		}
		delete(c.entries, key)
	}
}

// cacheKey joins the values so that no two lists give the same key.
func cacheKey(identity []string) string {
	if len(identity) == 1 {
		return identity[0]
	}
	var b strings.Builder
	for _, value := range identity {
		b.WriteString(strconv.Itoa(len(value)))
		b.WriteByte(':')
		b.WriteString(value)
	}
	return b.String()
}

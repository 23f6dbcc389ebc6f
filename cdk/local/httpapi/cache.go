package httpapi

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"
)

// cache keeps an authorizer's answers and lets requests that come at the same
// time share one call.
type cache struct {
	ttl     time.Duration
	size    int
	timeout time.Duration

	mu      sync.Mutex
	entries map[string]*cached
}

type cached struct {
	done    chan struct{} // closed when the rest is set
	verdict verdict
	err     error
	expires time.Time // zero while the call is under way
}

func newCache(a *Authorizer) *cache {
	c := &cache{ttl: a.ResultTTL, size: a.CacheSize, timeout: a.Timeout, entries: make(map[string]*cached)}
	if c.size == 0 {
		c.size = defaultCacheSize
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	return c
}

// get returns the kept answer for identity or calls ask. Without identity
// sources or a TTL each request asks for itself.
func (c *cache) get(ctx context.Context, identity []string, now time.Time, ask func() (verdict, error)) (verdict, error) {
	if c.ttl == 0 || len(identity) == 0 {
		return ask()
	}
	key := cacheKey(identity)
	c.mu.Lock()
	if entry, ok := c.entries[key]; ok && (entry.expires.IsZero() || now.Before(entry.expires)) {
		c.mu.Unlock()
		select {
		case <-entry.done:
			return entry.verdict, entry.err
		case <-ctx.Done():
			return verdict{}, ctx.Err()
		}
	}
	entry := &cached{done: make(chan struct{})}
	c.makeRoom(now)
	c.entries[key] = entry
	c.mu.Unlock()

	v, err := ask()
	c.mu.Lock()
	entry.verdict, entry.err = v, err
	entry.expires = now.Add(c.ttl)
	if err != nil && c.entries[key] == entry {
		delete(c.entries, key)
	}
	c.mu.Unlock()
	close(entry.done)
	return v, err
}

// makeRoom drops what has expired, or else any entry. Callers hold mu.
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

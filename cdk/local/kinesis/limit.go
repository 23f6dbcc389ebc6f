package kinesis

import "time"

// bucket is a token bucket for one second. An item that is larger than the bucket
// needs a full one and makes it negative; the next item waits until it is refilled.
// That is how Kinesis accepts a 10 MiB record on a shard of 1 MiB/s.
type bucket struct {
	perSecond float64 // 0: no limit
	tokens    float64
	last      time.Time
}

func newBucket(perSecond int, now time.Time) bucket {
	return bucket{perSecond: float64(perSecond), tokens: float64(perSecond), last: now}
}

// refill adds the tokens of the time since the last call.
func (b *bucket) refill(now time.Time) {
	if d := now.Sub(b.last); d > 0 {
		b.tokens = min(b.perSecond, b.tokens+d.Seconds()*b.perSecond)
		b.last = now
	}
}

// has reports whether the bucket has n tokens; refill first.
func (b *bucket) has(n int) bool {
	return b.perSecond == 0 || b.tokens >= min(float64(n), b.perSecond)
}

func (b *bucket) take(n int) {
	if b.perSecond != 0 {
		b.tokens -= float64(n)
	}
}

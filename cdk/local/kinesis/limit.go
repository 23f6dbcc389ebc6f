package kinesis

import "time"

// bucket is a token bucket that holds one second's worth. It may go into debt
// for one item that is larger than the bucket, which is how Kinesis lets a
// 10 MiB record through a shard of 1 MiB/s: the tank must be full, and refills
// before the next is taken.
type bucket struct {
	perSecond float64 // 0: no limit
	tokens    float64
	last      time.Time
}

func newBucket(perSecond int, now time.Time) bucket {
	return bucket{perSecond: float64(perSecond), tokens: float64(perSecond), last: now}
}

// refill adds what the time since the last call is worth.
func (b *bucket) refill(now time.Time) {
	if d := now.Sub(b.last); d > 0 {
		b.tokens = min(b.perSecond, b.tokens+d.Seconds()*b.perSecond)
		b.last = now
	}
}

// has reports whether n can be taken; refill first.
func (b *bucket) has(n int) bool {
	return b.perSecond == 0 || b.tokens >= min(float64(n), b.perSecond)
}

func (b *bucket) take(n int) {
	if b.perSecond != 0 {
		b.tokens -= float64(n)
	}
}

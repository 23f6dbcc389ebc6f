package lambda

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const tendEvery = time.Second

// tend stops environments that have been idle for too long and kills those
// above their memory.
func (f *Function) tend() {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f.reapIdle()
			f.checkMemory()
		case <-f.stop:
			return
		}
	}
}

func (f *Function) reapIdle() {
	if f.cfg.IdleTimeout == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := f.idle[:0]
	for _, env := range f.idle {
		if f.cfg.Now().Sub(env.idleSince) < f.cfg.IdleTimeout {
			kept = append(kept, env)
			continue
		}
		env.terminate()
		time.AfterFunc(f.cfg.StopGrace, env.kill)
	}
	f.idle = kept
}

func (f *Function) checkMemory() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for env := range f.live {
		if residentBytes(env.pid) > int64(f.cfg.MemoryMB)<<20 {
			env.condemned = true
			env.kill()
		}
	}
}

const (
	firstStartDelay = 100 * time.Millisecond
	lastStartDelay  = 5 * time.Second
)

// backoff spaces the starts of a function that can not start.
type backoff struct {
	failures int
	next     time.Time
}

// startDelay returns how long the next start has to wait.
func (f *Function) startDelay() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.starts.failures == 0 {
		return 0
	}
	return f.starts.next.Sub(f.cfg.Now())
}

func (f *Function) startEnded(ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ok {
		f.starts = backoff{}
		return
	}
	delay := min(lastStartDelay, firstStartDelay<<min(f.starts.failures, 10))
	f.starts.failures++
	f.starts.next = f.cfg.Now().Add(delay)
}

// report writes Lambda's own lines about an invocation. Callers hold mu.
func (f *Function) report(env *environment, inv *invocation, out outcome) {
	if !f.cfg.Platform {
		return
	}
	status := "success"
	switch {
	case env.overtime:
		status = "timeout"
	case out.err != nil || out.result.FunctionError != "":
		status = "error"
	}
	now := f.cfg.Now()
	line, err := json.Marshal(map[string]any{
		"time": now.UTC().Format(time.RFC3339Nano),
		"type": "platform.report",
		"record": map[string]any{
			"requestId": inv.id,
			"status":    status,
			"metrics": map[string]any{
				"durationMs":   float64(now.Sub(inv.started).Microseconds()) / 1000,
				"memorySizeMB": f.cfg.MemoryMB,
			},
		},
	})
	if err == nil {
		f.logs.write(append(line, '\n'))
	}
}

// reportStart writes Lambda's line on how long a process took from its start to its
// first request for work.
func (f *Function) reportStart(took time.Duration) {
	line, err := json.Marshal(map[string]any{
		"time": f.cfg.Now().UTC().Format(time.RFC3339Nano),
		"type": "platform.initReport",
		"record": map[string]any{
			"initializationType": "on-demand",
			"phase":              "init",
			"status":             "success",
			"metrics":            map[string]any{"durationMs": float64(took.Microseconds()) / 1000},
		},
	})
	if err == nil {
		f.logs.write(append(line, '\n'))
	}
}

// logStream names the stream of one environment's log as Lambda does.
func (f *Function) logStream() string {
	return f.cfg.Now().UTC().Format("2006/01/02/") + "[$LATEST]" + randomHex(16)
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

type traceKey struct{}

// WithTrace returns a context under which Invoke hands the function this X-Ray
// trace header instead of a new one that is not sampled.
func WithTrace(ctx context.Context, header string) context.Context {
	return context.WithValue(ctx, traceKey{}, header)
}

func traceOf(ctx context.Context, now func() time.Time) string {
	if header, ok := ctx.Value(traceKey{}).(string); ok && header != "" && !strings.ContainsAny(header, "\r\n") {
		return header
	}
	return "Root=1-" + strconv.FormatInt(now().Unix(), 16) + "-" + randomHex(12) + ";Sampled=0"
}

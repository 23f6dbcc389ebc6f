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

const maintainInterval = time.Second

// maintain stops the environments that exceed IdleTimeout and kills those that exceed
// their memory.
func (f *Function) maintain() {
	ticker := time.NewTicker(maintainInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f.stopIdle()
			f.checkMemory()
		case <-f.stop:
			return
		}
	}
}

func (f *Function) stopIdle() {
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
			env.stopping = true
			env.kill()
		}
	}
}

const (
	firstStartDelay = 100 * time.Millisecond
	lastStartDelay  = 5 * time.Second
)

// backoff delays the starts of a function whose init phase fails.
type backoff struct {
	failures int
	next     time.Time
}

// startDelay returns how long to wait before the next start.
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

// report writes Lambda's platform.report line of an invocation. Callers hold mu.
func (f *Function) report(env *environment, inv *invocation, out outcome) {
	if !f.cfg.Platform {
		return
	}
	status := "success"
	switch {
	case env.timedOut:
		status = "timeout"
	case out.err != nil || out.result.FunctionError != "":
		status = "error"
	}
	f.logPlatform("platform.report", map[string]any{
		"requestId": inv.id,
		"status":    status,
		"metrics":   map[string]any{"durationMs": milliseconds(f.cfg.Now().Sub(inv.started)), "memorySizeMB": f.cfg.MemoryMB},
	})
}

// reportStart writes Lambda's platform.initReport line: how long a process took from its
// start to its first request for an invocation.
func (f *Function) reportStart(took time.Duration) {
	f.logPlatform("platform.initReport", map[string]any{
		"initializationType": "on-demand",
		"phase":              "init",
		"status":             "success",
		"metrics":            map[string]any{"durationMs": milliseconds(took)},
	})
}

// logPlatform writes a line in the format of the Telemetry API's platform events.
func (f *Function) logPlatform(kind string, record map[string]any) {
	line, err := json.Marshal(map[string]any{
		"time": f.cfg.Now().UTC().Format(time.RFC3339Nano), "type": kind, "record": record,
	})
	if err == nil {
		f.logs.write(append(line, '\n'))
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// logStream returns a name for the log stream of an environment, in Lambda's format.
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

// WithTrace returns a context with an X-Ray trace header. Invoke passes it to the function
// instead of a new one that is not sampled.
func WithTrace(ctx context.Context, header string) context.Context {
	return context.WithValue(ctx, traceKey{}, header)
}

func traceOf(ctx context.Context, now func() time.Time) string {
	if header, ok := ctx.Value(traceKey{}).(string); ok && header != "" && !strings.ContainsAny(header, "\r\n") {
		return header
	}
	return "Root=1-" + strconv.FormatInt(now().Unix(), 16) + "-" + randomHex(12) + ";Sampled=0"
}

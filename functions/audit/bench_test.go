package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/lib/audit"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
	"github.com/insighthub/insighthub/lib/trail"
)

// benchEntries is the variable with the length of the trail that TestBenchTrail measures.
const benchEntries = "TRAIL_ENTRIES"

// benchEntry is an entry such as a platform has: 415 bytes as a line.
func benchEntry(i int64) trail.Entry {
	return trail.Entry{
		Time:  telemetry.Micros(1_790_000_000_000_000 + i*1_234_567),
		Actor: "5f1c9f5e-6d4e-4b6f-9a2b-0d9c1a7b3e21", Action: "device.change", Site: "plant-1",
		Object: fmt.Sprintf("sites/plant-1/gateways/gw-%d/devices/press-%d", i%40, i%7),
		Detail: `{"title":"Press","description":"hydraulic press of line 1"}`,
	}
}

// processor returns the processor time of this process.
func processor() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used) // never fails for SELF
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestBenchTrail measures sealing, the self-check from the last head over the API, and the offline
// verifier, for a trail of that many entries; `make bench-trail` runs it.
func TestBenchTrail(t *testing.T) {
	n, err := strconv.ParseInt(os.Getenv(benchEntries), 10, 64)
	if err != nil {
		t.Skip("make bench-trail runs it")
	}
	p := newPlatform(t)
	must(p.pool.SealTrail(t.Context()))(t) // the entries of the platform itself, which are replaced
	file, anchor := fillTrail(t, p.dsn, n)
	raw := must(anchor.MarshalJSON())(t)
	if err := p.bucket(t, "audits").PutIfAbsent(t.Context(), audit.AnchorsPrefix+anchor.Name(), raw, "application/json"); err != nil {
		t.Fatal(err)
	}

	const pending = 20_000
	for i := range int64(pending) {
		if err := p.pool.AppendTrail(t.Context(), benchEntry(n+i)); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	if sealed := must(p.pool.SealTrail(t.Context()))(t); sealed != pending {
		t.Fatalf("got %d sealed, want %d", sealed, pending)
	}
	report(t, "sealing", pending, time.Since(start))

	info := must(stackfile.Read(p.state))(t)
	a := must(wire(lambdahost.NewHost(info.Getenv, slog.New(slog.DiscardHandler))))(t)
	tokens := must(audit.Minted{MinterConfig: a.minter()}.Open(t.Context()))(t)
	start = time.Now()
	findings := audit.ChainCheck(audit.ChainConfig{
		API: a.api, Token: tokens[audit.AsAdministrator], Anchors: a.audits, Now: time.Now,
	})(t.Context())
	took := time.Since(start)
	for _, f := range findings {
		t.Logf("%s: %s: %s", f.Check, f.Result, f.Found)
		if f.Result != audit.Pass {
			t.Error("want a pass")
		}
	}
	t.Logf("self-check of the chain: %.1f s, want at most 60", took.Seconds())
	if took > time.Minute {
		t.Error("the self-check took longer than a minute")
	}

	start, used := time.Now(), processor()
	code := command(t.Context(), []string{"verify", file}, terminal{out: os.Stdout, errors: os.Stderr})
	took = time.Since(start)
	if code != exitGood {
		t.Errorf("got exit code %d", code)
	}
	report(t, "offline", n, took)
	t.Logf("processor: %.2f µs for an entry", float64((processor()-used).Microseconds())/float64(n))
}

func report(t *testing.T, what string, n int64, took time.Duration) {
	t.Helper()
	t.Logf("%s: %d entries in %.1f s, %.0f entries/s", what, n, took.Seconds(), float64(n)/took.Seconds())
}

// fillTrail replaces the trail by n entries, and writes them to a file. It returns the file and the
// head of a thousand entries before the last.
func fillTrail(t *testing.T, dsn string, n int64) (file string, anchor trail.Anchor) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "trail.ndjson")
	out := must(os.Create(file))(t)
	lines := bufio.NewWriterSize(out, 1<<20)
	var e trail.Entry
	var chain int64
	var previous trail.Hash
	var text []byte
	pgtest.Connect(t, dsn, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "ALTER TABLE trail DISABLE TRIGGER ALL; DELETE FROM trail; ALTER TABLE trail ENABLE TRIGGER ALL")
		if err != nil {
			return err
		}
		_, err = conn.CopyFrom(ctx, pgx.Identifier{"trail"},
			[]string{"seq", "time", "actor", "action", "object", "site", "detail", "previous", "hash"},
			pgx.CopyFromFunc(func() ([]any, error) {
				if chain == n {
					return nil, nil
				}
				e = benchEntry(chain)
				chain++
				e.Seal(chain, previous)
				previous = e.Hash
				if chain == n-1000 {
					anchor = trail.Anchor{Seq: chain, Hash: e.Hash, Time: e.Time.Time()}
				}
				var err error
				if text, err = trail.AppendLine(text[:0], &e); err == nil {
					_, err = lines.Write(text)
				}
				return []any{
					e.Seq, e.Time.Time(), e.Actor, string(e.Action), e.Object, string(e.Site), e.Detail, e.Previous[:], e.Hash[:],
				}, err
			}))
		return err
	})
	if err := lines.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return file, anchor
}

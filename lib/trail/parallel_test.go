package trail_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// longChain returns the lines of a chain of n entries, such as a platform has.
func longChain(tb testing.TB, n int) [][]byte {
	tb.Helper()
	out := make([][]byte, n)
	var previous trail.Hash
	for i := range out {
		e := trail.Entry{
			Time:  telemetry.Micros(1_790_000_000_000_000 + int64(i)*1_234_567),
			Actor: "5f1c9f5e-6d4e-4b6f-9a2b-0d9c1a7b3e21", Action: "device.change",
			Object: fmt.Sprintf("sites/plant-1/gateways/gw-%d/devices/press-%d", i%40, i%7), Site: "plant-1",
			Detail: `{"title":"Press","description":"hydraulic press of line 1"}`,
		}
		e.Seal(int64(i)+1, previous)
		previous = e.Hash
		var err error
		if out[i], err = trail.AppendLine(nil, &e); err != nil {
			tb.Fatal(err)
		}
	}
	return out
}

// same checks that verifying in parallel has the outcome of verifying entry by entry.
func same(t *testing.T, text io.Reader, again io.Reader, anchors ...trail.Anchor) error {
	t.Helper()
	var one, many trail.Verifier
	for _, a := range anchors {
		if err := errors.Join(one.AddAnchor(a), many.AddAnchor(a)); err != nil {
			t.Fatal(err)
		}
	}
	want, got := trail.ReadLines(text, one.Next), trail.VerifyLines(again, &many)
	if fmt.Sprint(want) != fmt.Sprint(got) {
		t.Errorf("in parallel: got %v, want %v", got, want)
	}
	seq1, hash1 := one.Head()
	if seq2, hash2 := many.Head(); want == nil && (seq1 != seq2 || hash1 != hash2) {
		t.Errorf("in parallel: got head %d, want %d", seq2, seq1)
	}
	return got
}

// TestVerifyLines: whatever was done to a chain of several blocks, verifying it in parallel finds
// the same first broken entry as verifying it entry by entry.
func TestVerifyLines(t *testing.T) {
	t.Parallel()
	const n = 12_000
	lines := longChain(t, n)
	if len(bytes.Join(lines, nil)) < 4<<20 {
		t.Fatal("the chain is not longer than some blocks")
	}
	other := longChain(t, n+1)[1:] // another chain: its numbers are one ahead
	random := rand.New(rand.NewPCG(3, 4))
	for name, c := range map[string]struct {
		change func(l [][]byte, at int) [][]byte
		intact bool
	}{
		"intact":      {func(l [][]byte, _ int) [][]byte { return l }, true},
		"empty lines": {func(l [][]byte, at int) [][]byte { return slices.Insert(l, at, []byte("\n \n")) }, true},
		"changed": {func(l [][]byte, at int) [][]byte {
			l[at] = bytes.Replace(l[at], []byte("hydraulic"), []byte("hydr4ulic"), 1)
			return l
		}, false},
		"removed":   {func(l [][]byte, at int) [][]byte { return slices.Delete(l, at, at+1) }, false},
		"inserted":  {func(l [][]byte, at int) [][]byte { return slices.Insert(l, at, l[at]) }, false},
		"reordered": {func(l [][]byte, at int) [][]byte { l[at], l[at-1] = l[at-1], l[at]; return l }, false},
		"forked":    {func(l [][]byte, at int) [][]byte { return slices.Concat(l[:at], other[at:]) }, false},
		"not JSON":  {func(l [][]byte, at int) [][]byte { l[at] = []byte("{\n"); return l }, false},
		"repeated member": {func(l [][]byte, at int) [][]byte {
			l[at] = append([]byte(`{"actor":"mallory",`), l[at][1:]...)
			return l
		}, false},
	} {
		for range 4 {
			at := 1 + random.IntN(n-2)
			text := string(bytes.Join(c.change(slices.Clone(lines), at), nil))
			err := same(t, strings.NewReader(text), iotest.HalfReader(strings.NewReader(text)))
			if (err == nil) != c.intact {
				t.Errorf("%s at %d: got %v", name, at, err)
			}
		}
	}
	entry := func(i int) trail.Anchor {
		e, err := trail.ParseLine(lines[i-1])
		if err != nil {
			t.Fatal(err)
		}
		return trail.Anchor{Seq: e.Seq, Hash: e.Hash}
	}
	text := string(bytes.Join(lines, nil))
	wrong := entry(7000)
	wrong.Hash[3]++
	if err := same(t, strings.NewReader(text), strings.NewReader(text), entry(1), entry(5000), entry(n)); err != nil {
		t.Error(err)
	}
	if err := same(t, strings.NewReader(text), strings.NewReader(text), wrong); err == nil {
		t.Error("another hash than the anchor's was accepted")
	}
	// From an anchor on.
	v := trail.Verifier{}
	if err := v.StartAt(entry(4000)); err != nil {
		t.Fatal(err)
	}
	if err := trail.VerifyLines(bytes.NewReader(bytes.Join(lines[3999:], nil)), &v); err != nil {
		t.Error(err)
	}
	forged := entry(4000)
	forged.Hash[0]++
	v = trail.Verifier{}
	if err := errors.Join(v.StartAt(forged), trail.VerifyLines(bytes.NewReader(bytes.Join(lines[3999:], nil)), &v)); err == nil {
		t.Error("a chain that starts at another entry than the anchor's was accepted")
	}
	// A reader that fails is no end.
	failed := errors.New("disk")
	err := trail.VerifyLines(io.MultiReader(bytes.NewReader(bytes.Join(lines[:100], nil)), iotest.ErrReader(failed)), new(trail.Verifier))
	if !errors.Is(err, failed) {
		t.Errorf("got %v, want %v", err, failed)
	}
}

// FuzzVerifyLines: for any text, in parallel as entry by entry.
func FuzzVerifyLines(f *testing.F) {
	f.Add(lines(chain(3)))
	f.Add(lines(chain(3)) + "x")
	f.Add("{}\n{}\n")
	f.Fuzz(func(t *testing.T, text string) {
		_ = same(t, strings.NewReader(text), strings.NewReader(text))
	})
}

// repeat reads the lines n times; the chain is broken after the first time.
type generated struct {
	lines [][]byte
	n, at int
	rest  []byte
}

func (g *generated) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(g.rest) == 0 {
			if g.at == g.n {
				return n, io.EOF
			}
			g.rest = g.lines[g.at%len(g.lines)]
			g.at++
		}
		c := copy(p[n:], g.rest)
		n, g.rest = n+c, g.rest[c:]
	}
	return n, nil
}

// BenchmarkVerifyLines is what the offline verifier costs for an entry.
func BenchmarkVerifyLines(b *testing.B) {
	lines := longChain(b, 100_000)
	b.SetBytes(int64(len(lines[0])))
	b.ReportAllocs()
	for done := 0; done < b.N; done += len(lines) {
		if err := trail.VerifyLines(&generated{lines: lines, n: min(len(lines), b.N-done)}, new(trail.Verifier)); err != nil {
			b.Fatal(err)
		}
	}
}

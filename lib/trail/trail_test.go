package trail_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/trail"
)

func chain(n int) []trail.Entry {
	entries := make([]trail.Entry, n)
	var previous trail.Hash
	for i := range entries {
		e := &entries[i]
		*e = trail.Entry{
			Time: 1_000_000, Actor: "ada", Action: "site.create", Object: "sites/plant-1", Site: "plant-1", Detail: `{"title":"One"}`,
		}
		e.Seal(int64(i)+1, previous)
		previous = e.Hash
	}
	return entries
}

func verify(v *trail.Verifier, entries []trail.Entry) error {
	for _, e := range entries {
		if err := v.Next(e); err != nil {
			return err
		}
	}
	return v.End()
}

func TestValidChain(t *testing.T) {
	t.Parallel()
	entries := chain(5)
	v := trail.Verifier{Anchors: map[int64]trail.Hash{3: entries[2].Hash}}
	if err := verify(&v, entries); err != nil {
		t.Fatal(err)
	}
	if seq, hash := v.Head(); seq != 5 || hash != entries[4].Hash {
		t.Errorf("got head %d %s, want 5 %s", seq, hash, entries[4].Hash)
	}
}

// TestHash pins the hash: it must not change, since entries are stored.
func TestHash(t *testing.T) {
	t.Parallel()
	const want = "5a0f6bd091cd221e565649d829e0914a4e83b6e111d382dcb40b8b8d8a486805"
	if got := chain(1)[0].Hash.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFirstBrokenEntry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func([]trail.Entry) []trail.Entry
		seq    int64
	}{
		"actor":        {func(e []trail.Entry) []trail.Entry { e[2].Actor = "bob"; return e }, 3},
		"action":       {func(e []trail.Entry) []trail.Entry { e[2].Action = "site.delete"; return e }, 3},
		"object":       {func(e []trail.Entry) []trail.Entry { e[2].Object = "sites/plant-2"; return e }, 3},
		"site":         {func(e []trail.Entry) []trail.Entry { e[2].Site = ""; return e }, 3},
		"detail":       {func(e []trail.Entry) []trail.Entry { e[2].Detail = `{}`; return e }, 3},
		"time":         {func(e []trail.Entry) []trail.Entry { e[2].Time++; return e }, 3},
		"moved border": {func(e []trail.Entry) []trail.Entry { e[2].Actor, e[2].Object = "adas", "ites/plant-1"; return e }, 3},
		"removed":      {func(e []trail.Entry) []trail.Entry { return append(e[:2], e[3:]...) }, 3},
		"swapped":      {func(e []trail.Entry) []trail.Entry { e[2], e[3] = e[3], e[2]; return e }, 3},
		"sealed again": {func(e []trail.Entry) []trail.Entry { e[2].Actor = "bob"; e[2].Seal(3, e[1].Hash); return e }, 4},
		"starts later": {func(e []trail.Entry) []trail.Entry { return e[1:] }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken *trail.BrokenError
			err := verify(&trail.Verifier{}, c.change(chain(5)))
			if !errors.As(err, &broken) || broken.Seq != c.seq {
				t.Errorf("got %v, want entry %d named", err, c.seq)
			}
		})
	}
}

func TestAnchors(t *testing.T) {
	t.Parallel()
	original := chain(5)
	anchors := map[int64]trail.Hash{5: original[4].Hash}
	if err := verify(&trail.Verifier{Anchors: anchors}, original[:4]); err == nil || !strings.Contains(err.Error(), "entry 5: is missing") {
		t.Errorf("truncated: got %v, want entry 5 missing", err)
	}
	rewritten := chain(5)
	var previous trail.Hash
	for i := range rewritten {
		rewritten[i].Actor = "bob"
		rewritten[i].Seal(int64(i)+1, previous)
		previous = rewritten[i].Hash
	}
	if err := verify(&trail.Verifier{Anchors: anchors}, rewritten); err == nil || !strings.Contains(err.Error(), "entry 5: has the hash") {
		t.Errorf("rewritten: got %v, want another hash of entry 5", err)
	}
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/audit"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// TestArchive: months that are old enough are written to the archive, one in each self-check, and
// leave the database for their receipts. Archive and rest are one chain, for the self-check and offline; what
// is changed in the archive is found.
func TestArchive(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	now := time.Now().UTC()
	for month := -6; month <= 0; month++ {
		for i := range 3 {
			at := time.Date(now.Year(), now.Month()+time.Month(month), 1, 0, i, 0, 0, time.UTC)
			e := trail.Entry{Time: telemetry.MicrosOf(at), Action: "site.change", Object: fmt.Sprint("sites/", month, i), Detail: "{}"}
			if err := p.pool.AppendTrail(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The platform's first two entries are of 1970.
	check := func(result audit.Result, found string) {
		t.Helper()
		_, report := p.audit(t, "-signed", "-trail-months", "2")
		for _, f := range report.Findings {
			if f.Check == "trail: archive" && f.Result == result && strings.Contains(f.Found, found) {
				return
			}
		}
		t.Errorf("got %+v, want %s with %q", report.Findings, result, found)
	}
	check(audit.Pass, "entries 1 to 2 follow")
	check(audit.Pass, "entries 1 to 5 follow")
	receipts := must(p.bucket(t, "states").Keys(t.Context(), trail.ReceiptsPrefix, "", 10))(t)
	for _, key := range receipts {
		if _, err := p.pool.ArchiveTrail(t.Context(), must(trail.ParseReceipt(key))(t)); err != nil {
			t.Fatal(err)
		}
	}
	if s := must(p.pool.ArchivedTrail(t.Context()))(t); len(receipts) != 2 || s.Last != 5 {
		t.Fatalf("got %d receipts up to entry %d, want 2 up to 5", len(receipts), s.Last)
	}
	check(audit.Pass, "entries 1 to 8 follow")
	check(audit.Pass, "entries 1 to 11 follow")
	check(audit.Pass, "entries 1 to 14 follow")
	check(audit.Pass, "entries 1 to 14 follow") // the months after stay
	_, report := p.audit(t, "-signed", "-trail-months", "2")
	for _, f := range report.Findings {
		if strings.HasPrefix(f.Check, "trail: ") && f.Result != audit.Pass {
			t.Errorf("%+v", f)
		}
	}

	// Offline: the archive and the export are one chain.
	dir := t.TempDir()
	store := p.bucket(t, "audits")
	keys := must(store.Keys(t.Context(), trail.SegmentsPrefix, "", 10))(t)
	if len(keys) != 5 {
		t.Fatalf("got %v, want 5 segments", keys)
	}
	var files []string
	for i, key := range append(keys, "rest.ndjson") {
		var raw []byte
		if i < len(keys) {
			raw = must(store.Get(t.Context(), key))(t)
		} else {
			text := must(exported(t, p))(t)
			_, after, _ := strings.Cut(text, `{"seq":15,`) // from entry 6 on, which is in the archive too
			raw = []byte(`{"seq":15,` + after)
		}
		files = append(files, filepath.Join(dir, fmt.Sprint(i, filepath.Ext(key))))
		if err := os.WriteFile(files[i], raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := func(files ...string) (int, string) {
		var out, problems bytes.Buffer
		code := command(t.Context(), append([]string{"verify"}, files...), terminal{out: &out, errors: &problems})
		return code, out.String() + problems.String()
	}
	if code, says := verify(files...); code != exitGood || !strings.HasPrefix(says, "intact: ") {
		t.Errorf("got %d, %s", code, says)
	}
	if code, says := verify(files[0], files[2], files[1]); code != exitFailed || !strings.Contains(says, "entry 3") {
		t.Errorf("in another order: got %d, %s", code, says)
	}

	// An object with other content than its key says, and one that is missing.
	if err := store.Put(t.Context(), keys[4], must(store.Get(t.Context(), keys[3]))(t), "application/zstd"); err != nil {
		t.Fatal(err)
	}
	check(audit.Fail, "entry 12: is missing")
	extra := trail.Segment{First: 30, Last: 31}
	if err := store.Put(t.Context(), extra.Key(), nil, "application/zstd"); err != nil {
		t.Fatal(err)
	}
	check(audit.Fail, "entry 15: is missing in the archive")
}

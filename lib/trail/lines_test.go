package trail_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// lines returns a chain in the API's form.
func lines(entries []trail.Entry) string {
	var b bytes.Buffer
	for _, e := range entries {
		raw, err := json.Marshal(map[string]any{
			"seq": e.Seq, "time": e.Time.Time(), "actor": e.Actor, "action": e.Action, "object": e.Object, "site": e.Site,
			"detail": e.Detail, "previous": e.Previous.String(), "hash": e.Hash.String(), "more": "later versions",
		})
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "%s\n", raw)
	}
	return b.String()
}

func TestReadLines(t *testing.T) {
	t.Parallel()
	text := lines(chain(5))
	var v trail.Verifier
	if err := trail.ReadLines(strings.NewReader(text+"\n"), v.Next); err != nil {
		t.Fatal(err)
	}
	if seq, hash := v.Head(); seq != 5 || hash != chain(5)[4].Hash {
		t.Errorf("got head %d %s, want entry 5", seq, hash)
	}
	broken := strings.Replace(text, `"ada"`, `"eve"`, 1)
	var link *trail.BrokenError
	if err := trail.ReadLines(strings.NewReader(broken), new(trail.Verifier).Next); !errors.As(err, &link) || link.Seq != 1 {
		t.Errorf("got %v, want entry 1 named", err)
	}
}

func TestInvalidLines(t *testing.T) {
	t.Parallel()
	good := strings.TrimSpace(lines(chain(1)))
	for name, text := range map[string]string{
		"not JSON":         "{",
		"short hash":       strings.Replace(good, chain(1)[0].Hash.String(), "5a0f", 1),
		"long hash":        strings.Replace(good, chain(1)[0].Hash.String(), chain(1)[0].Hash.String()+"00", 1),
		"not hexadecimal":  strings.Replace(good, chain(1)[0].Hash.String(), strings.Repeat("z", 64), 1),
		"nanoseconds":      strings.Replace(good, "1970-01-01T00:00:01Z", "1970-01-01T00:00:01.000000001Z", 1),
		"text as a number": strings.Replace(good, `"seq":1`, `"seq":"1"`, 1),
	} {
		err := trail.ReadLines(strings.NewReader("\n"+text), func(trail.Entry) error { return nil })
		if !errors.Is(err, telemetry.ErrInvalid) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: got %v, want ErrInvalid that names line 2", name, err)
		}
	}
}

func TestParseAnchors(t *testing.T) {
	t.Parallel()
	a := trail.Anchor{Seq: 42, Hash: chain(1)[0].Hash, Time: time.Unix(1_700_000_000, 0).UTC()}
	raw, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	list, err := trail.ReadAnchors(strings.NewReader(string(raw) + "\n" + string(raw)))
	if err != nil || len(list) != 2 || list[1] != a {
		t.Errorf("got %v, %v; want the anchor twice", list, err)
	}
	named, err := trail.ParseAnchorName(a.Name())
	if err != nil || named.Seq != a.Seq || named.Hash != a.Hash {
		t.Errorf("%s: %v, %v", a.Name(), named, err)
	}
	for _, name := range []string{"", "42.json", a.Name()[1:], a.Name() + "x", strings.Replace(a.Name(), "5a", "zz", 1)} {
		if _, err := trail.ParseAnchorName(name); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", name, err)
		}
	}
	for _, text := range []string{`{"seq":0,"hash":"` + a.Hash.String() + `"}`, `{"seq":1,"hash":"12"}`, `[`} {
		if _, err := trail.ReadAnchors(strings.NewReader(text)); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", text, err)
		}
	}
	var v trail.Verifier
	if err := errors.Join(v.AddAnchor(a), v.AddAnchor(a)); err != nil {
		t.Error(err)
	}
	a.Hash[0]++
	var broken *trail.BrokenError
	if err := v.AddAnchor(a); !errors.As(err, &broken) || broken.Seq != 42 {
		t.Errorf("two hashes of one entry: got %v, want a BrokenError", err)
	}
}

// Reading any input returns, and a chain of entries is never found in a text without JSON strings.
func FuzzReadLines(f *testing.F) {
	f.Add(lines(chain(3)))
	f.Add("{}\n")
	f.Add(`{"seq":1,"time":"9999-12-31T23:59:59Z","hash":""}`)
	f.Fuzz(func(t *testing.T, text string) {
		var v trail.Verifier
		err := trail.ReadLines(strings.NewReader(text), v.Next)
		if seq, _ := v.Head(); err == nil && seq > 0 && !strings.Contains(text, `"`) {
			t.Errorf("%q is a chain of %d entries", text, seq)
		}
		_, _ = trail.ReadAnchors(strings.NewReader(text))
		if a, err := trail.ParseAnchorName(text); err == nil && a.Name() != text && !strings.EqualFold(a.Name(), text) {
			t.Errorf("%q is the name %q", text, a.Name())
		}
	})
}

func TestSegmentKey(t *testing.T) {
	t.Parallel()
	s := trail.Segment{First: 7, Last: 42, Hash: chain(1)[0].Hash}
	if got, err := trail.ParseSegmentKey(s.Key()); err != nil || got != s {
		t.Errorf("%s: got %+v, %v", s.Key(), got, err)
	}
	if got, err := trail.ParseReceipt(s.Receipt()); err != nil || got != s {
		t.Errorf("%s: got %+v, %v", s.Receipt(), got, err)
	}
	if from := trail.ReceiptsFrom(7); from >= s.Receipt() || trail.ReceiptsFrom(8) <= s.Receipt() {
		t.Errorf("%s does not sort before %s", from, s.Receipt())
	}
	for _, key := range []string{
		"", s.Key()[1:], s.Key() + "x", strings.Replace(s.Key(), "7", "0", 1), strings.Replace(s.Key(), "5a", "zz", 1),
		(trail.Segment{First: 9, Last: 8}).Key(),
	} {
		if _, err := trail.ParseSegmentKey(key); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", key, err)
		}
	}
}

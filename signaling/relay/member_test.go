package relay

import (
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/rtc"
)

// What is decoded encodes to the same text, so nothing of another task's entry is lost.
func FuzzChange(f *testing.F) {
	for _, text := range []string{
		"1764534000000001|p1||task|1764534000000000|0|person|name", "2|p1|access_ended|", "3|p1|lost|", "1|p1||t|1|1|gateway|a|b",
		"", "|||", "0|p1||", "01|p1||", "-1|p1||", "1|p 1||", "1|p1||t|x|0|person|n", "1|p1||t|1|2|person|n", "1|p1||t|1|0|robot|n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := decodeChange(text)
		if err != nil {
			return
		}
		if got := c.encode(); got != text {
			t.Errorf("%q decodes to %+v, which encodes to %q", text, c, got)
		}
		if !c.id.Valid() || c.version <= 0 {
			t.Errorf("%q decodes to %+v", text, c)
		}
	})
}

func FuzzMember(f *testing.F) {
	for _, value := range []string{
		"task|1764534000000000|0|person|name", "t|1|1|gateway|", "t|1|1|gateway|a|b", "", "||||", "t|1|0", "|1|0|person|n",
	} {
		f.Add("p1", value)
	}
	f.Fuzz(func(t *testing.T, id, value string) {
		m, err := decodeMember(rtc.PeerID(id), value)
		if err != nil {
			return
		}
		if got := m.encode(); got != value || m.ID != rtc.PeerID(id) {
			t.Errorf("%q decodes to %+v, which encodes to %q", value, m, got)
		}
	})
}

// What the script returns is checked before it is used.
func TestDecodeResult(t *testing.T) {
	skipped := 0
	skip := func(error) { skipped++ }
	hash := []any{"#", "7", "@", "5", "p1", "t|1|0|person|n", "p2", "unreadable"}
	res, err := decodeResult([]any{"7", []any{int64(1), int64(0)}, hash}, -1, skip)
	if err != nil || res.version != 7 || res.count() != 1 || res.snapshot == nil || res.snapshot.created != 5 ||
		len(res.snapshot.members) != 1 || skipped != 1 {
		t.Errorf("got %+v, %v, skipped %d", res, err, skipped)
	}
	if res, err := decodeResult([]any{"8", []any{int64(1)}, []any{}}, 7, skip); err != nil || res.snapshot != nil {
		t.Errorf("got %+v, %v, want no snapshot for one who knew version 7", res, err)
	}
	for _, bad := range []any{
		nil, "x",
		[]any{},
		[]any{"x", []any{}, []any{}},
		[]any{"1", 2, []any{}},
		[]any{"1", []any{}, []any{"#"}},
		[]any{"1", []any{}, []any{"@", "x"}},
	} {
		if res, err := decodeResult(bad, 0, skip); err == nil {
			t.Errorf("%v: got %+v, want an error", bad, res)
		}
	}
}

func TestParseURL(t *testing.T) {
	for _, good := range []string{
		"redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379", "rediss://user:secret@valkey.example:6379?cluster=true",
		"redis://[::1]:6379/1", "redis://h:1?cluster=false",
	} {
		if err := ParseURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "127.0.0.1:6379", "http://h", "redis://u:hunter2@h:x", "redis://u:hunter2@h:1?db=1",
		"redis://u:hunter2@h:1?cluster=yes", "redis://u:hunter2@h/1?cluster=true",
		"redis://u:hunter2@h/a", "redis://u:hunter2@%zz",
	} {
		err := ParseURL(bad)
		if err == nil {
			t.Errorf("%q: got no error", bad)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error has the password: %v", bad, err)
		}
	}
}

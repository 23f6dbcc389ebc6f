package rtc_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/rtc"
)

const document = "../../docs/SIGNALING_PROTOCOL.md"

// TestDocument: every example of the protocol's document is a message, every message has an
// example, and the table of errors is that of the code.
func TestDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for _, side := range []struct {
		name   string
		decode func([]byte) (rtc.Message, error)
		all    []rtc.Message
	}{{"client", rtc.DecodeClient, rtc.ClientMessages()}, {"server", rtc.DecodeServer, rtc.ServerMessages()}} {
		_, rest, ok := strings.Cut(string(text), "```json "+side.name+"\n")
		block, _, end := strings.Cut(rest, "\n```\n")
		if !ok || !end {
			t.Fatalf("the document has no examples of the %s", side.name)
		}
		var seen []rtc.Type
		for line := range strings.Lines(block) {
			m, err := side.decode([]byte(line))
			if err != nil {
				t.Errorf("%s: %s: %v", side.name, line, err)
				continue
			}
			seen = append(seen, m.Type())
		}
		for _, m := range side.all {
			if !slices.Contains(seen, m.Type()) {
				t.Errorf("%s: %s has no example", side.name, m.Type())
			}
			if !strings.Contains(string(text), "`"+string(m.Type())+"`") {
				t.Errorf("%s: %s is in no table", side.name, m.Type())
			}
		}
	}
	if want := errorTable(); !strings.HasSuffix(string(text), want) {
		t.Errorf("the table of errors is not that of lib/rtc/errors.go; it is\n%s", want)
	}
}

func errorTable() string {
	var b strings.Builder
	b.WriteString("| code | close | when | then | meaning |\n| --- | --- | --- | --- | --- |\n")
	for _, c := range rtc.Codes() {
		number, when, then := "", "", ""
		if c.Close != 0 {
			number, when, then = fmt.Sprint(c.Close), "sometimes", string(c.Then)
		}
		if c.Always {
			when = "always"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", c.Code, number, when, then, c.Meaning)
	}
	return b.String()
}

// TestCodes: codes are unique, and a client knows what to do after each close.
func TestCodes(t *testing.T) {
	t.Parallel()
	seen := make(map[rtc.Code]bool)
	for _, c := range rtc.Codes() {
		if seen[c.Code] || c.Always && c.Close == 0 || (c.Close == 0) != (c.Then == "") || c.Meaning == "" {
			t.Errorf("got %+v", c)
		}
		seen[c.Code] = true
		if c.Code.Info() != c {
			t.Errorf("got %+v, want %+v", c.Code.Info(), c)
		}
		if c.Close != 0 && rtc.ActionAfter(c.Close) != c.Then {
			t.Errorf("after %d: got %s, want %s", c.Close, rtc.ActionAfter(c.Close), c.Then)
		}
	}
	if got := rtc.ActionAfter(1006); got != rtc.Reconnect {
		t.Errorf("after a lost connection: got %s", got)
	}
}

// TestPolite: exactly one of two peers is polite.
func TestPolite(t *testing.T) {
	t.Parallel()
	type peer struct {
		id   rtc.PeerID
		kind rtc.PeerKind
	}
	all := []peer{{"a", rtc.Person}, {"b", rtc.Person}, {"B", rtc.Gateway}, {"_", rtc.Gateway}, {"a-", rtc.Person}}
	for _, x := range all {
		for _, y := range all {
			if x != y && rtc.Polite(x.id, x.kind, y.id, y.kind) == rtc.Polite(y.id, y.kind, x.id, x.kind) {
				t.Errorf("%v and %v: both are %v", x, y, rtc.Polite(x.id, x.kind, y.id, y.kind))
			}
			if x.kind == rtc.Person && y.kind == rtc.Gateway && !rtc.Polite(x.id, x.kind, y.id, y.kind) {
				t.Errorf("the person %v is not polite towards the gateway %v", x, y)
			}
		}
	}
}

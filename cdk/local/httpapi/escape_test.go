package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{
		"", "plain", `"`, `\`, `""""""""`, "\\\\\\\\\\\\\\\\", "1234567\"", "\"1234567", "1234567\n8", "tab\there", "\x00\x1f\x7f\x80\xff",
		"größer als 8 Bytes \u2028 \U0001f680", "\xc3", "12345678\xed\xa0\x80", "<a href='&'>",
		`{"events":[{"device":"press-1","value":71.25}]}`,
		strings.Repeat("\x01", 100), strings.Repeat("\"", 100), "a\n\n\"\n\\\"\n",
	} {
		f.Add([]byte(seed), []byte("x"))
	}
	f.Fuzz(func(t *testing.T, s, before []byte) {
		got := appendJSON(bytes.Clone(before), s)
		document, ok := bytes.CutPrefix(got, before)
		if !ok {
			t.Fatalf("got %q, want the prefix %q", got, before)
		}
		want, err := json.Marshal(string(s))
		if err != nil {
			t.Fatal(err)
		}
		var gotString, wantString string
		if err := json.Unmarshal(document, &gotString); err != nil {
			t.Fatalf("%q gives %s: %v", s, document, err)
		}
		if err := json.Unmarshal(want, &wantString); err != nil {
			t.Fatal(err)
		}
		if gotString != wantString {
			t.Errorf("%q gives %q, want %q", s, gotString, wantString)
		}
	})
}

func TestAppendStringNearTheEnds(t *testing.T) {
	for length := range 40 {
		for at := range length {
			for _, c := range []byte("\"\\\n\x00\x1f\x7f\x80ab") {
				s := bytes.Repeat([]byte("x"), length)
				s[at] = c
				s[length-1-at/2] = '"'
				got := appendJSON(nil, s)
				var back string
				if err := json.Unmarshal(got, &back); err != nil || back != strings.ToValidUTF8(string(s), "\ufffd") {
					t.Fatalf("%q gives %s: %v", s, got, err)
				}
			}
		}
	}
}

func telemetryBody(events int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"events":[`)
	for i := range events {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"device":"press-%d","metric":"temperature","time":"2026-11-23T09:08:33.%06dZ","value":%d.25}`, i%20, i, 60+i%20)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

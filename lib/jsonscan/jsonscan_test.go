package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/jsonscan"
)

// maxDepth is the limit of encoding/json.
const maxDepth = 10_000

// value builds the value at the cursor as encoding/json does for an any.
func value(s *jsonscan.Scanner) (v any, err error) {
	switch s.Peek() {
	case '{':
		object := make(map[string]any)
		err = s.Object(func(name []byte) error {
			key := string(name)
			object[key], err = value(s)
			return err
		})
		return object, err
	case '[':
		array := []any{}
		err = s.Array(func() error {
			element, err := value(s)
			array = append(array, element)
			return err
		})
		return array, err
	case '"':
		text, err := s.Text()
		return string(text), err
	case 'n':
		if s.Null() {
			return nil, nil
		}
		return nil, jsonscan.Error("expected null")
	case 't', 'f':
		start := s.Pos
		err = s.Skip()
		return s.Src[start] == 't', err
	default:
		text, err := s.Number()
		if err != nil {
			return nil, err
		}
		return strconv.ParseFloat(string(text), 64)
	}
}

// checkDocument compares the Scanner with encoding/json on one document.
func checkDocument(t *testing.T, src []byte) {
	t.Helper()
	skip := jsonscan.Scanner{Src: src, MaxDepth: maxDepth}
	err := skip.Skip()
	if err == nil {
		err = skip.End()
	}
	if got, want := err == nil, json.Valid(src); got != want {
		t.Fatalf("Skip(%q): got error %v, json.Valid: %v", src, err, want)
	}
	if skip.Pos > len(src) {
		t.Fatalf("Skip(%q): position %d is outside", src, skip.Pos)
	}

	read := jsonscan.Scanner{Src: src, MaxDepth: maxDepth}
	got, err := value(&read)
	if err == nil {
		err = read.End()
	}
	var want any
	wantErr := json.Unmarshal(src, &want)
	switch {
	case !utf8.Valid(src):
		// Text rejects what encoding/json replaces: at most stricter.
		if err == nil && wantErr != nil {
			t.Fatalf("%q: got %v, encoding/json rejects it: %v", src, got, wantErr)
		}
	case (err == nil) != (wantErr == nil):
		t.Fatalf("%q: got error %v, encoding/json: %v", src, err, wantErr)
	case err == nil && !reflect.DeepEqual(got, want):
		t.Fatalf("%q: got %v, encoding/json: %v", src, got, want)
	}
}

// checkString compares the functions that read strings with encoding/json on one string,
// whose text between the quotes is given, at each alignment to a word.
func checkString(t *testing.T, raw []byte) {
	t.Helper()
	for shift := range jsonscan.WordBytes {
		src := append([]byte(strings.Repeat(" ", shift)+`"`), raw...)
		src = append(src, `"]`...)
		start, end := shift+1, len(src)-1

		var want string
		wantErr := json.Unmarshal(src[shift:end], &want)
		next, err := jsonscan.SkipString(src, start)
		if (err == nil && next == end) != (wantErr == nil) {
			t.Fatalf("SkipString(%q): got %d, %v; want %d, %v", src, next, err, end, wantErr)
		}
		if next > len(src) {
			t.Fatalf("SkipString(%q): got %d of %d bytes", src, next, len(src))
		}
		out, next := jsonscan.Unescape([]byte("before"), src, start)
		hasControl := bytes.ContainsFunc(raw, func(r rune) bool { return r < ' ' })
		if (next == end) != (wantErr == nil) && !hasControl {
			t.Fatalf("Unescape(%q): got the end %d, want %d, %v", src, next, end, wantErr)
		}
		// encoding/json replaces invalid UTF-8, byte by byte.
		if wantErr == nil && string([]rune(string(out))) != "before"+want {
			t.Fatalf("Unescape(%q): got %q, want %q", src, out, want)
		}
		s := jsonscan.Scanner{Src: src}
		text, err := s.Text()
		if ok := wantErr == nil && utf8.Valid(raw); (err == nil && s.Pos == end) != ok || ok && string(text) != want {
			t.Fatalf("Text(%q): got %q, %v; want %q, %v", src, text, err, want, ok)
		}
		s.Pos = 0
		if text, err := s.Base64(); err == nil && s.Pos == end && wantErr == nil && string([]rune(string(text))) != want {
			t.Fatalf("Base64(%q): got %q, want %q", src, text, want)
		}
	}
}

func documents() []string {
	return []string{
		``, ` `, `{}`, ` [ ] `, `null`, `nul`, `nullx`, `true`, `false`, `truefalse`, `"a"`, `"a`, `{"a":1,"a":[2]}`, `{"a":1,}`, `{,}`,
		`[1,]`, `[,1]`,
		`{"a" : { "b" : [ true , null , -1.5e-3 ] } }`, `{"a":1 "b":2}`, `{"a"1}`, `{1:2}`, `{"a":1}}`, `[1][2]`, "[1]\x00", "\ufeff{}",
		`[1}`, `{"a":1]`,
		`0`, `-0`, `01`, `-`, `+1`, `.5`, `1.`, `1.5`, `1e`, `1e+`, `1E+2`, `1e5.0`, `0x10`, `NaN`, `-Infinity`, `1_000`, `1e999`,
		`{"n\u0061me":"\ud83d\ude00"}`, `["\ud800"]`, `["\ud800\ud800\udc00"]`, `["\q"]`, "[\"\xff\"]", "{\"\xff\":1}", "[\"\x1f\"]",
		"[\"\n\"]",
		strings.Repeat("[", 40) + strings.Repeat("]", 40), strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat("}", 40),
		`{"long":"` + strings.Repeat("x", 600) + `\"` + strings.Repeat("y", 600) + `"}`,
	}
}

func stringTexts() []string {
	return []string{
		``, `a`, `0123456`, `01234567`, `012345678`, `\"`, `\\`, `\\\"`, `\/\b\f\n\r\t`, `\u0041\u00e9\uFFFF\ud83d\ude00`, `\ud83d`,
		`\ude00\ud83d`,
		`\ud83dx`, `\ud83d\u0041`, `\ud83d\n`, `\ud83d\ud83d\ude00`, `\u12`, `\u123g`, `\x`, `\`, `a\`, `a"b`, "\x00", "\x1f", "\x7f", "é",
		"日本\u2028", "\xff", "\xed\xa0\x80",
		"!!!!!!! \x1f!", `{\"events\":[{\"device\":\"größe\"}]}`, strings.Repeat(`abcdefg\"`, 100), strings.Repeat("x", 511) + `\`,
		strings.Repeat("x", 512) + `\n`,
	}
}

func FuzzDocument(f *testing.F) {
	for _, seed := range documents() {
		f.Add([]byte(seed))
	}
	f.Fuzz(checkDocument)
}

func FuzzString(f *testing.F) {
	for _, seed := range stringTexts() {
		f.Add([]byte(seed))
	}
	f.Fuzz(checkString)
}

// TestEveryByte puts each byte at each place of a word, alone and next to another.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for c := range 256 {
		for place := range 9 {
			text := []byte(strings.Repeat("a", 19))
			text[place] = byte(c)
			checkString(t, text)
			text[place+1+random.IntN(8)] = byte(random.IntN(256))
			checkString(t, text)
			want := 0
			for want < len(text) && text[want] >= ' ' && text[want] != '"' && text[want] != '\\' {
				want++
			}
			if got := jsonscan.Plain(text); got != want {
				t.Fatalf("Plain(%q): got %d, want %d", text, got, want)
			}
		}
	}
}

// TestDamagedDocuments changes each seed in each place.
func TestDamagedDocuments(t *testing.T) {
	t.Parallel()
	for _, document := range documents() {
		if len(document) > 100 {
			continue
		}
		for i := range len(document) {
			for _, piece := range []string{
				"", `"`, `\`, "{", "}", "[", "]", ",", ":", " ", "\x00", "\x1f", "\xff", "e", "-", ".", "0", `\u`, "ß",
			} {
				checkDocument(t, []byte(document[:i]+piece+document[i:]))
				checkDocument(t, []byte(document[:i]+piece+document[i+1:]))
			}
			checkDocument(t, []byte(document[:i]))
		}
	}
}

// TestPositions: an error names the fault, or the string that has it.
func TestPositions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		src  string
		pos  int
		want string
	}{
		{src: `{"a":[1,2}`, pos: 9, want: "expected ','"},
		{src: `{"a" 1}`, pos: 5, want: "expected ':'"},
		{src: `{a:1}`, pos: 1, want: `expected '"'`},
		{src: `{"a":tru}`, pos: 5, want: "expected true"},
		{src: `{"a":-}`, pos: 6, want: "expected a value"},
		{src: `[1.]`, pos: 3, want: "expected a digit after the decimal point"},
		{src: `[1e+]`, pos: 4, want: "expected a digit in the exponent"},
		{src: `["abc\x"]`, pos: 5, want: "invalid escape sequence"},
		{src: "[\"abc\x01\"]", pos: 5, want: "control character in a string"},
		{src: `["abc`, pos: 5, want: "string is not terminated"},
		{src: `[[[[]]]]`, pos: 3, want: "nested too deeply"},
		{src: `[1] 2`, pos: 4, want: "unexpected data after the document"},
		{src: "", pos: 0, want: "expected a value"},
	} {
		s := jsonscan.Scanner{Src: []byte(c.src), MaxDepth: 3}
		err := s.Skip()
		if err == nil {
			err = s.End()
		}
		if fmt.Sprint(err) != c.want || s.Pos != c.pos {
			t.Errorf("%q: got %q at %d, want %q at %d", c.src, err, s.Pos, c.want, c.pos)
		}
	}
	s := jsonscan.Scanner{Src: []byte("  \"\xff\"")}
	if _, err := s.Text(); fmt.Sprint(err) != "string is not valid UTF-8" || s.Pos != 2 {
		t.Errorf("got %v at %d, want an error at 2", err, s.Pos)
	}
}

// TestDepth: the limit counts brackets that are open at the same time.
func TestDepth(t *testing.T) {
	t.Parallel()
	for depth, want := range map[int]bool{jsonscan.DefaultMaxDepth: true, jsonscan.DefaultMaxDepth + 1: false, 1 << 20: false} {
		s := jsonscan.Scanner{Src: []byte(strings.Repeat("[", depth) + strings.Repeat("]", depth))}
		if err := s.Skip(); (err == nil) != want {
			t.Errorf("%d deep: got %v, want accepted: %v", depth, err, want)
		}
	}
}

func TestEscapeReturnsUnpairedSurrogates(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]rune{
		`\ud800`: 0xd800, `\udc00\ud800`: 0xdc00, `\ud83d\ude00`: 0x1f600, `\ufffd`: 0xfffd, `\n`: '\n',
	} {
		if got, next := jsonscan.Escape([]byte(src), 0); got != want || next < 0 {
			t.Errorf("Escape(%q): got %#x, %d, want %#x", src, got, next, want)
		}
	}
}

func BenchmarkUnescape(b *testing.B) {
	src := []byte(strings.Repeat(`{\"device\":\"press-1\",\"value\":71.25},`, 1000) + `"`)
	var out []byte
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if out, _ = jsonscan.Unescape(out[:0], src, 0); len(out) == 0 {
			b.Fatal("not valid")
		}
	}
}

func BenchmarkSkip(b *testing.B) {
	src := []byte(`[` + strings.Repeat(`{"device":"press-1","value":71.25,"tags":[null,true]},`, 1000) + `{}]`)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		s := jsonscan.Scanner{Src: src}
		if err := s.Skip(); err != nil {
			b.Fatal(err)
		}
	}
}

package naming

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// TestAccount: the forms of one name are one, and what looks like another name is rejected.
func TestAccount(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"ada": "ada", " ADA ": "ada", "ＡＤＡ": "ada", "Ａda": "ada", "Jane Doe": "jane doe", "ada@example.com": "ada@example.com",
		"Müller": "müller", "Mu\u0308ller": "müller", "Straße": "straße", "op_1-x.y": "op_1-x.y", "o'brien": "o'brien",
		"Иван": "иван", "ΣΟΦΊΑ": "σοφία", "אבג": "אבג", "田中さん": "田中さん", "ｶﾅ": "カナ", "김철수kim": "김철수kim", "王bopo": "王bopo",
	} {
		if got, err := Account(given); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", given, got, err, want)
		}
	}
	for given, reason := range map[string]string{
		"": "1 to 128 bytes", "  ": "1 to 128 bytes", strings.Repeat("a", 129): "1 to 128 bytes", "\xff": "UTF-8",
		"a\u200bda": "U+200B", "a\u200dda": "U+200D", "\ufeffada": "U+FEFF", "a\u00adda": "U+00AD", "a\u2060da": "U+2060",
		"a\u202eda": "U+202E", "ada\u200f": "U+200F", "a\u2066da": "U+2066", "a\u061cda": "U+061C",
		"a\u034fda": "U+034F", "a\u115fda": "U+115F", "a\u3164da": "U+3164", "ada\ufe0f": "U+FE0F", "a\U000e0041da": "U+E0041",
		"a\u00a0da": "U+00A0", "a\u3000da": "U+3000", "a\u2028da": "U+2028", "a\tda": "U+0009", "a\x00da": "U+0000", "a\ue000da": "U+E000",
		"а" + "da": "Cyrillic and Latin", "αda": "Greek and Latin", "аα": "Cyrillic and Greek", "адa": "Cyrillic and Latin",
		"\u0301ada": "marks without a letter", "a\u0316\u0317\u0318\u0319\u031ada": "more than 4",
		"ada  b": "spaces next to each other",
		"ﬁ":      "RFC 8265", "ᴀda": "phonetic", "a♥": "RFC 8265", "אa": "RFC 8265", "Ⅳ": "RFC 8265", "한かa": "Hangul",
	} {
		_, err := Account(given)
		if !errors.Is(err, telemetry.ErrInvalid) || !strings.Contains(Reason(err), reason) {
			t.Errorf("%q: got %v, want %q", given, err, reason)
		}
	}
}

// TestCanonicalForms: a canonical form is its own, and whoever types a name in capital or
// full-width letters logs in to the same account.
func TestCanonicalForms(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		given := rapid.String().Draw(t, "name")
		c, err := Account(given)
		if err != nil {
			Login(given)
			return
		}
		if again, err := Account(c); err != nil || again != c || !utf8.ValidString(c) {
			t.Fatalf("%q: canonical %q, again %q, %v", given, c, again, err)
		}
		for _, typed := range []string{given, c, " " + c + " ", strings.ToTitle(c[:1]) + c[1:]} {
			if got, _ := Login(typed); got != c && typed != strings.ToTitle(c[:1])+c[1:] {
				t.Fatalf("%q: login as %q, want %q", typed, got, c)
			}
		}
	})
}

// TestOlderNames: a name that is rejected today has the form in which it was stored before.
func TestOlderNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typed, canonical, older string }{
		{"ADA", "ada", "ada"},
		{"Ａda", "ada", "ａda"},
		{"A\u200bda", "a\u200bda", "a\u200bda"},
		{" Аda ", "аda", "аda"},
		{"x  Y", "x  y", "x  y"},
		{"", "", ""},
	} {
		if got, older := Login(c.typed); got != c.canonical || older != c.older {
			t.Errorf("%q: got %q and %q, want %q and %q", c.typed, got, older, c.canonical, c.older)
		}
	}
}

func TestSiteOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"plant-1:gw": "plant-1", "a:b:gw": "a:b", "gw": "", ":gw": "", "plant-1:": "", "": "", "a::": "",
	} {
		if site, ok := SiteOf(name); site != want || ok != (want != "") {
			t.Errorf("%q: got %q, %t, want %q", name, site, ok, want)
		}
	}
}

func TestResource(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"plant-1", "Halle 7/Presse", "hall%20", "Ω-line", "µ1", "Δp", "цех-1", "工場", "مصنع", "a.b:c", "..", strings.Repeat("x", 128),
	} {
		if err := Resource(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, reason := range map[string]string{
		"": "1 to 128", "a\x00": "1 to 128", "a\n": "1 to 128", strings.Repeat("x", 129): "1 to 128",
		"gw\u200b1": "U+200B", "gw\u202e1": "U+202E", "gw\u20661": "U+2066", "\ufeffgw": "U+FEFF", "gw\u00a01": "U+00A0",
		"gw\u00ad": "U+00AD",
		"gw\u2028": "U+2028", "gw\ufe0f": "U+FE0F", "gw\u3164": "U+3164",
		"Mu\u0308": "NFC", " gw": "space", "gw ": "space", "g  w": "space", "gаteway": "U+0430", "Οne": "U+039F", "plаnt": "U+0430",
		"\u0301x": "marks",
	} {
		if err := Resource(name); !errors.Is(err, telemetry.ErrInvalid) || !strings.Contains(Reason(err), reason) {
			t.Errorf("%q: got %v, want %q", name, err, reason)
		}
	}
}

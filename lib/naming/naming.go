// Package naming decides which names people may give, so that one name has one form and two
// names do not look like one.
//
// An account's name is compared in the form of the profile UsernameCaseMapped of PRECIS (RFC
// 8265): full-width and capital letters are mapped, the rest is in NFC. Characters that are
// not seen, symbols and a mix of scripts are rejected; which scripts go together is UTS 39's
// level "highly restrictive".
package naming

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// MaxAccountBytes limits the name of an account.
const MaxAccountBytes = 128

// maxMarks is how many marks may follow a letter (UTS 39, 5.4).
const maxMarks = 4

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: name: %s", telemetry.ErrInvalid, fmt.Sprintf(format, args...))
}

// Reason returns what is wrong with a name, for whoever gave it, of an error of this package.
func Reason(err error) string {
	return strings.TrimPrefix(err.Error(), telemetry.ErrInvalid.Error()+": name: ")
}

// Account returns the canonical form of the name of a new account. The error wraps
// telemetry.ErrInvalid.
func Account(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > MaxAccountBytes {
		return "", invalid("must be 1 to %d bytes", MaxAccountBytes)
	}
	if err := visible(name); err != nil {
		return "", err
	}
	canonical, err := canonical(name)
	if err != nil {
		return "", err
	}
	if len(canonical) > MaxAccountBytes {
		return "", invalid("must be 1 to %d bytes", MaxAccountBytes)
	}
	return canonical, oneScript(canonical)
}

// Login returns the forms under which the account of a name may be stored: the canonical one,
// and the one of accounts that are older than it, which is the only one of a name that would
// be rejected today.
func Login(name string) (canonicalForm, older string) {
	older = strings.ToLower(strings.TrimSpace(name))
	if len(name) > 4*MaxAccountBytes {
		return older, older
	}
	c, err := canonical(strings.TrimSpace(name))
	if err != nil {
		return older, older
	}
	return c, older
}

// canonical enforces the profile on each part of a name: parts have single spaces between them
// (RFC 8265, 3.5).
func canonical(name string) (string, error) {
	parts := strings.Split(name, " ")
	for i, part := range parts {
		if part == "" {
			return "", invalid("must not have spaces next to each other")
		}
		mapped, err := stable(part)
		if err != nil {
			return "", err
		}
		parts[i] = mapped
	}
	return strings.Join(parts, " "), nil
}

// stable applies the profile until it changes nothing (RFC 8264, 7).
func stable(part string) (string, error) {
	const most = 4
	for range most {
		mapped, err := precis.UsernameCaseMapped.String(part)
		if err != nil {
			return "", invalid("must have letters, digits and punctuation of ASCII only, and keep the rules of RFC 8265 for them")
		}
		if mapped == part {
			return part, nil
		}
		part = mapped
	}
	return "", invalid("has no canonical form (RFC 8265)")
}

// Resource returns why a person may not give the name to a site or gateway, or nil. Names that
// machines report are not checked: nobody could change them, and rejecting would lose events.
func Resource[S ~string](name S) error {
	text := string(name)
	if telemetry.ValidName(name) != nil {
		return invalid("must be 1 to %d bytes of UTF-8 without control characters", telemetry.MaxNameBytes)
	}
	if err := visible(text); err != nil {
		return err
	}
	switch {
	case !norm.NFC.IsNormalString(text):
		return invalid("must be in the composed form (Unicode NFC)")
	case strings.TrimSpace(text) != text || strings.Contains(text, "  "):
		return invalid("must not begin or end with a space, or have spaces next to each other")
	}
	return lookAlikes(text)
}

// SiteSeparator is between the site and the rest in a gateway's name that belongs to a site.
const SiteSeparator = ":"

// SiteOf returns the site to which a gateway's name belongs, which is what is before its last
// SiteSeparator; false for a name that belongs to none.
func SiteOf(gateway string) (site string, ok bool) {
	last := strings.LastIndex(gateway, SiteSeparator)
	if last < 1 || last == len(gateway)-len(SiteSeparator) {
		return "", false
	}
	return gateway[:last], true
}

// visible rejects what cannot be seen in a name: format characters (zero width, directions),
// what fonts do not show, private and unassigned characters, spaces other than U+0020, and
// marks without a letter.
func visible(name string) error {
	if !utf8.ValidString(name) {
		return invalid("must be UTF-8")
	}
	marks, letter := 0, false
	for _, r := range name {
		switch {
		case r == ' ':
		case !unicode.IsGraphic(r) || unicode.IsSpace(r) || unicode.Is(unicode.Zs, r) || unicode.Is(unicode.Cf, r):
			return invalid("must not have characters that cannot be seen, such as %U", r)
		case unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || unicode.Is(unicode.Variation_Selector, r):
			return invalid("must not have characters that cannot be seen, such as %U", r)
		}
		if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) {
			if marks++; !letter || marks > maxMarks {
				return invalid("must not have marks without a letter, or more than %d on one, such as %U", maxMarks, r)
			}
			continue
		}
		if phonetic(r) {
			return invalid("must not have phonetic letters, such as %U", r)
		}
		marks, letter = 0, r != ' '
	}
	return nil
}

// phonetic reports whether r is of the blocks of phonetic extensions: small capitals and raised
// letters, which no language writes.
func phonetic(r rune) bool { return r >= 0x1d00 && r <= 0x1dbf }

// together are the scripts that are written next to each other in one language (UTS 39, 5.2).
func together() [][]string {
	return [][]string{
		{"Latin", "Han", "Hiragana", "Katakana"}, {"Latin", "Han", "Bopomofo"}, {"Latin", "Han", "Hangul"},
	}
}

// oneScript rejects names of several scripts.
func oneScript(name string) error {
	scripts := scriptsOf(name)
	if len(scripts) < 2 {
		return nil
	}
	for _, allowed := range together() {
		if !slices.ContainsFunc(scripts, func(s string) bool { return !slices.Contains(allowed, s) }) {
			return nil
		}
	}
	return invalid("must not mix the scripts %s: letters of one look like those of another", strings.Join(scripts, " and "))
}

// lookAlikes rejects names that mix Latin letters with such of other scripts that look like
// them. Ω, µ or Δ next to Latin letters are everyday names of quantities.
func lookAlikes(name string) error {
	scripts := scriptsOf(name)
	if !slices.Contains(scripts, "Latin") {
		return nil
	}
	for _, r := range name {
		if unicode.In(r, unicode.Cyrillic, unicode.Armenian, unicode.Cherokee) || strings.ContainsRune("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧιονρυ", r) {
			return invalid("must not mix Latin letters with %U, which looks like one", r)
		}
	}
	return nil
}

// scriptsOf returns the scripts of a name's letters, in order, without those that all use.
func scriptsOf(name string) []string {
	found := make(map[string]bool)
	for _, r := range name {
		if r < utf8.RuneSelf {
			if unicode.IsLetter(r) {
				found["Latin"] = true
			}
			continue
		}
		for script, table := range unicode.Scripts {
			if script != "Common" && script != "Inherited" && unicode.Is(table, r) {
				found[script] = true
				break
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

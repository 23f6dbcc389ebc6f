package password

import (
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/trustelem/zxcvbn/frequency"
	"golang.org/x/text/width"
)

// tooFewBits is the number of guesses, as a power of two, from which a password is not
// rejected. lib/attempt lets about a hundred guesses a day through: 2^24 take 400 years.
const tooFewBits = 24

// Costs of the parts of a password in bits: how many guesses find one.
const (
	bitsOfOther     = 5.5 // a character that belongs to no part: 45 are likely
	bitsOfDigit     = 3.3
	bitsOfSeparator = 3
	bitsOfContext   = 1
	bitsOfRepeat    = 1 // the part before, another time
	bitsOfCopy      = 6 // a part from anywhere before
	bitsOfRun       = 5 // begin and length of a sequence or a path on the keyboard
	bitsOfStep      = 0.5
	bitsOfShort     = 2 // more, for a path that a word may have by chance
	bitsOfYear      = 7
	bitsOfDoubling  = 2 // each character several times

	shortestContext = 3
	shortestWord    = 4
	shortestRun     = 3
	shortestPath    = 3
	shortestCopy    = 2
)

// guessable reports whether a password consists of few parts that are guessed first: common
// passwords, context, repetitions, sequences such as 4567 or cba, paths on a keyboard, years.
// This is the idea of zxcvbn (Wheeler, USENIX Security 2016) with less of a dictionary: an
// estimate of a password of 15 characters or more that is not low needs no precision.
func guessable(password string, context []string) bool {
	lower := strings.ToLower(width.Fold.String(password))
	if repeated([]rune(lower)) {
		return true
	}
	for _, replaced := range substitutions() {
		form := func(s string) string { return s }
		if len(replaced) > 0 {
			form = strings.NewReplacer(replaced...).Replace
		}
		text := form(lower)
		once := string(slices.Compact([]rune(text))) // aabbcc is abc
		if bits([]rune(text), wordsIn(text, form, context)) < tooFewBits ||
			2*len(once) <= len(text)+1 && bits([]rune(once), wordsIn(once, form, context)) < tooFewBits-bitsOfDoubling {
			return true
		}
	}
	return false
}

// repeated reports whether a password is one part, shorter than a password, again and again,
// with or without a separator.
func repeated(text []rune) bool {
	for period := 1; period < MinLength && 2*period <= len(text)+1; period++ {
		if slices.Equal(text[period:], text[:len(text)-period]) {
			return true
		}
	}
	return false
}

// substitutions are the characters that everybody writes for letters.
func substitutions() [][]string {
	common := []string{"@", "a", "4", "a", "$", "s", "5", "s", "0", "o", "3", "e"}
	return [][]string{nil, append([]string{"1", "l", "!", "l"}, common...), append([]string{"1", "i", "!", "i"}, common...)}
}

// bits returns the least sum of the costs of parts that text consists of.
func bits(text []rune, words []word) float64 {
	best := make([]float64, len(text)+1) // of the first i characters
	for i := range text {
		best[i+1] = math.Inf(1)
	}
	for i := range text {
		reach := func(length int, bits float64) { best[i+length] = min(best[i+length], best[i]+bits) }
		switch {
		case unicode.IsDigit(text[i]):
			reach(1, bitsOfDigit)
		case strings.ContainsRune(" -_./,", text[i]):
			reach(1, bitsOfSeparator)
		default:
			reach(1, bitsOfOther)
		}
		for _, w := range words {
			if hasPrefix(text[i:], w.text) {
				reach(len(w.text), w.bits)
			}
		}
		for n := runLength(text[i:]); n >= shortestRun; n-- {
			reach(n, bitsOfRun+bitsOfStep*math.Log2(float64(n)))
		}
		for n := pathLength(text[i:]); n >= shortestPath; n-- {
			cost := bitsOfRun + bitsOfStep*float64(n)
			if n == shortestPath {
				cost += bitsOfShort
			}
			reach(n, cost)
		}
		for n := copyLength(text, i); n >= shortestCopy; n-- {
			reach(n, bitsOfCopy)
		}
		if year(text[i:]) {
			reach(4, bitsOfYear)
		}
		for n := 1; n <= i && i+n <= len(text); n++ {
			if slices.Equal(text[i-n:i], text[i:i+n]) {
				reach(n, bitsOfRepeat)
			}
		}
	}
	return best[len(text)]
}

// firstWords are what an attacker of this platform tries beside the common passwords.
func firstWords() []string {
	return []string{
		"insighthub", "insight", "telemetry", "administrator", "admin", "operator", "viewer", "gateway", "plant", "machine",
		"production", "prod", "staging", "changeme", "password", "passwort", "kennwort", "пароль", "welcome", "willkommen",
		"thequickbrownfox", "the quick brown fox", "loremipsum", "lorem ipsum",
	}
}

// copyLength returns how many characters from i on are somewhere before.
func copyLength(text []rune, i int) (longest int) {
	for from := range i {
		n := 0
		for i+n < len(text) && from+n < i && text[from+n] == text[i+n] {
			n++
		}
		longest = max(longest, n)
	}
	return longest
}

type word struct {
	text []rune
	bits float64
}

// wordsIn returns the common passwords and the words of the context, in a form, that are in text.
func wordsIn(text string, form func(string) string, context []string) (found []word) {
	add := func(s string, least int, bits float64) {
		if s = form(s); len(s) >= least && strings.Contains(text, s) {
			found = append(found, word{[]rune(s), bits})
		}
	}
	for _, c := range slices.Concat(context, firstWords()) {
		c = strings.ToLower(c)
		add(c, shortestContext, bitsOfContext)
		for part := range strings.FieldsFuncSeq(c, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			add(part, shortestContext, bitsOfContext)
		}
	}
	for rank, s := range frequency.FrequencyLists["passwords"] {
		add(s, shortestWord, 1+math.Log2(float64(rank+1)))
	}
	return found
}

func hasPrefix(text, prefix []rune) bool {
	return len(text) >= len(prefix) && slices.Equal(text[:len(prefix)], prefix)
}

// runLength returns how many characters from the first on are equal, or ascend or descend by one.
func runLength(text []rune) int {
	if len(text) < 2 {
		return len(text)
	}
	step := text[1] - text[0]
	if step < -1 || step > 1 {
		return 1
	}
	n := 2
	for n < len(text) && text[n]-text[n-1] == step {
		n++
	}
	return n
}

// keyboards are the rows of QWERTY, QWERTZ, AZERTY and ЙЦУКЕН, and that of the digits with shift.
func keyboards() [][]string {
	return [][]string{
		{"1234567890", "qwertyuiop", "asdfghjkl;", "zxcvbnm,./"},
		{"1234567890", "qwertzuiopü", "asdfghjklöä", "yxcvbnm,.-"},
		{"1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"},
		{"1234567890", "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю"},
		{"!@#$%^&*()_+"},
	}
}

// pathLength returns how many characters from the first on are next to each other on a
// keyboard.
func pathLength(text []rune) (longest int) {
	for _, rows := range keyboards() {
		n := 1
		for n < len(text) && touch(rows, text[n-1], text[n]) {
			n++
		}
		longest = max(longest, n)
	}
	return longest
}

// touch reports whether two keys of a keyboard do.
func touch(rows []string, a, b rune) bool {
	rowA, columnA := place(rows, a)
	rowB, columnB := place(rows, b)
	if rowA < 0 || rowB < 0 {
		return false
	}
	switch right := columnB - columnA; rowB - rowA {
	case 0:
		return right == 1 || right == -1
	case 1:
		return right == 0 || right == -1
	case -1:
		return right == 0 || right == 1
	default:
		return false
	}
}

// place returns the row and the column of a key, or -1.
func place(rows []string, key rune) (row, column int) {
	for row, keys := range rows {
		if column := slices.Index([]rune(keys), key); column >= 0 {
			return row, column
		}
	}
	return -1, -1
}

// year reports whether text begins with a year from 1900 to 2099.
func year(text []rune) bool {
	return len(text) >= 4 && (string(text[:2]) == "19" || string(text[:2]) == "20") && unicode.IsDigit(text[2]) && unicode.IsDigit(text[3])
}

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
	bitsOfOther   = 5.5 // a character that belongs to no part: 45 are likely
	bitsOfDigit   = 3.3
	bitsOfContext = 1
	bitsOfRepeat  = 1 // the part before, another time
	bitsOfRun     = 5 // begin and length of a sequence or a path on the keyboard
	bitsOfStep    = 0.5
	bitsOfYear    = 7

	shortestContext = 3
	shortestWord    = 4
	shortestRun     = 3
	shortestPath    = 4
)

// guessable reports whether a password consists of few parts that are guessed first: common
// passwords, context, repetitions, sequences such as 4567 or cba, paths on a keyboard, years.
// This is the idea of zxcvbn (Wheeler, USENIX Security 2016) with less of a dictionary: an
// estimate of a password of 15 characters or more that is not low needs no precision.
func guessable(password string, context []string) bool {
	lower := strings.ToLower(width.Fold.String(password))
	for _, replaced := range substitutions() {
		form := func(s string) string { return s }
		if len(replaced) > 0 {
			form = strings.NewReplacer(replaced...).Replace
		}
		text := form(lower)
		if bits([]rune(text), wordsIn(text, form, context)) < tooFewBits {
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
		if unicode.IsDigit(text[i]) {
			reach(1, bitsOfDigit)
		} else {
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
			reach(n, bitsOfRun+bitsOfStep*float64(n))
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
	for _, c := range append([]string{"insighthub", "insight", "telemetry"}, context...) {
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

// rows are those of a keyboard.
func rows() []string { return []string{"1234567890", "qwertyuiop", "asdfghjkl;", "zxcvbnm,./"} }

// pathLength returns how many characters from the first on are next to each other on a
// keyboard.
func pathLength(text []rune) int {
	n := 1
	for n < len(text) && adjacent(text[n-1], text[n]) {
		n++
	}
	return n
}

// adjacent reports whether two keys touch, on QWERTY or, with y and z exchanged, QWERTZ.
func adjacent(a, b rune) bool {
	swap := func(r rune) rune {
		switch r {
		case 'y':
			return 'z'
		case 'z':
			return 'y'
		default:
			return r
		}
	}
	return touch(a, b) || touch(swap(a), swap(b))
}

func touch(a, b rune) bool {
	for i, keys := range rows() {
		column := strings.IndexRune(keys, a)
		if column < 0 {
			continue
		}
		for j, others := range rows() {
			right := strings.IndexRune(others, b) - column
			switch found := strings.ContainsRune(others, b); {
			case !found:
			case i == j && (right == 1 || right == -1), j == i+1 && (right == 0 || right == -1), j == i-1 && (right == 0 || right == 1):
				return true
			}
		}
	}
	return false
}

// year reports whether text begins with a year from 1900 to 2099.
func year(text []rune) bool {
	return len(text) >= 4 && (string(text[:2]) == "19" || string(text[:2]) == "20") && unicode.IsDigit(text[2]) && unicode.IsDigit(text[3])
}

package lookalike

import "testing"

func TestAlike(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"cope", "соре"},
		{"scope", "ѕсоре"},
		{"aa", "аа"},
		{"iii", "ііі"},
		{"admin", "admın"},
		{"admin", "ɑdmin"},
		{"a'b", "aʼb"},
		{"modern", "modem"},
		{"user1", "userl"},
		{"оо", "οο"},
	} {
		if !Alike(pair[0], pair[1]) || !Alike(pair[1], pair[0]) {
			t.Errorf("%q and %q: got different", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{{"ada", "ada"}, {"ada", "adam"}, {"иван", "ivan"}, {"müller", "muller"}, {"op-1", "op-2"}} {
		if Alike(pair[0], pair[1]) {
			t.Errorf("%q and %q: got the same", pair[0], pair[1])
		}
	}
}

package password_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// cheap keeps the tests fast.
var cheap = password.Cost{MemoryKiB: 64, Passes: 1, Threads: 1}

func TestHashAndVerify(t *testing.T) {
	t.Parallel()
	const secret = "correct horse battery staple"
	phc, err := password.Hash(secret, cheap, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]bool{secret: true, secret + " ": false, "": false, strings.ToUpper(secret): false} {
		if ok, err := password.Verify(phc, given); err != nil || ok != want {
			t.Errorf("%q: got %t, %v, want %t", given, ok, err, want)
		}
	}
	if again, _ := password.Hash(secret, cheap, rand.Reader); again == phc {
		t.Error("two hashes have the same salt")
	}
	if password.Outdated(phc, cheap) || !password.Outdated(phc, password.DefaultCost()) {
		t.Error("Outdated: got true for the same cost, or false for another")
	}
}

// TestVector verifies a test vector of the reference implementation (phc-winner-argon2,
// test.c: version 19, t=2, m=2^16, p=1, "password", "somesalt").
func TestVector(t *testing.T) {
	t.Parallel()
	const phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := password.Verify(phc, "password"); err != nil || !ok {
		t.Errorf("got %t, %v, want true", ok, err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for given, valid := range map[string]bool{
		"fourteen chars": false, "fifteen chars!!": true, "äöüßéèêëñçåøłđŧ": true,
		strings.Repeat("correct battery!", 16): true, strings.Repeat("correct battery!", 16) + "x": false,
		strings.Repeat("\xff", 20): false,
	} {
		if err := password.Check(given); (err == nil) != valid || err != nil && !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%q: got %v, want valid %t", given, err, valid)
		}
	}
}

// TestGuessable: passwords that are guessed first are rejected, with the reason; phrases and
// random ones are not.
func TestGuessable(t *testing.T) {
	t.Parallel()
	for _, given := range []string{
		strings.Repeat("a", 15), strings.Repeat("x", 256), strings.Repeat("ω", 20), strings.Repeat(" ", 20), "................",
		"ababababababababab", "abcabcabcabcabcabc", "äöüäöüäöüäöüäöüäöü", "aaaaaaaabbbbbbbbb", "111222333444555666", "qqqqqqqqqqqqqqqqa",
		"123456789012345", "01234567890123456789", "abcdefghijklmnopq", "zyxwvutsrqponmlkj", "9876543210987654321",
		"qwertyuiopasdfghjkl", "qwertzuiopasdfghjkl", "1q2w3e4r5t6y7u8i", "1qaz2wsx3edc4rfv", "q1w2e3r4t5y6u7i8o9p0", "zaq12wsxcde34rfv",
		"passwordpassword", "password1234567", "Password Password", "P@ssw0rdP@ssw0rd", "P4ssword2026!!!",
		"letmeinletmeinletmein", "trustno1trustno1",
		"iloveyouiloveyou", "adminadminadmin1", "Summer2026Summer2026", "Welcome2026!!!!!", "mailcreated5240",
		"administratoradministrator", "administrator1234", "aaaabbbbccccdddd", "aabbccddeeffgghh", "112233445566778899", "abcabcabcabcabd",
		"пароль пароль пароль", "йцукенгшщзхъфыв", "azertyuiopqsdfgh", "!@#$%^&*()_+!@#", "insighthub-prod-2026", "changeme changeme",
		"thequickbrownfox", strings.Repeat("zR7 ", 64), "Kranwagen Kranwagen", "KranwagenKranwagen",
		"xkcdxkcdxkcdxkcd", "qweasdzxcqweasdzxc",
		"insighthubinsighthub", "InsightHub2026!!", "1ns1ghthub1ns1ghthub", "lovelacelovelace", "ada.lovelace2026",
		"Ada Lovelace 1234", "Ａｄａ Lovelace 123",
	} {
		if err := password.Check(given, "ada.lovelace"); err == nil || !strings.Contains(password.Requirement(err), "too easy to guess") {
			t.Errorf("%q: got %v, want that it is too easy to guess", given, err)
		}
	}
	for _, given := range []string{
		"correct horse battery staple", "correct horse battery staple!", "incorrect horse battery staple", "my dog eats shoes",
		"a new long password",
		"another good phrase", "MonteurHalle2Linz!", "Xk8#mPq2$vLn9@wR", "ein ganz langes Kennwort", "не угадаешь никогда", "天地玄黄宇宙洪荒日月盈昃辰",
		"fifteen chars!!", "lovelace und der Kranführer",
	} {
		if given == "天地玄黄宇宙洪荒日月盈昃辰" {
			given += "宿列"
		}
		if err := password.Check(given, "ada.lovelace"); err != nil {
			t.Errorf("%q: %v", given, err)
		}
	}
	for range 100 { // as generated ones are
		if given := rand.Text(); password.Check(given) != nil {
			t.Errorf("%q is rejected", given)
		}
	}
}

// TestRequirements: the reason says what a password must be.
func TestRequirements(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"short": "must be at least 15 characters", strings.Repeat("ab1x", 65): "must be at most 256 bytes",
		"a\tline of text with a tab": "must not have control characters", strings.Repeat("\xff", 20): "must be UTF-8",
		"e\u0301" + "e\u0300" + "o\u0302" + "correct b": "must be at least 15 characters, and has 12 in the composed form",
	} {
		if err := password.Check(given); err == nil || !strings.HasPrefix(password.Requirement(err), want) {
			t.Errorf("%q: got %v, want %q", given, err, want)
		}
	}
}

// TestPreparation: a password is the same however a keyboard composes it, and one that was
// stored before there was a preparation is still right.
func TestPreparation(t *testing.T) {
	t.Parallel()
	const composed, decomposed, spaced = "Caf\u00e9 am Werkstor 7", "Cafe\u0301 am Werkstor 7", "Caf\u00e9\u00a0am\u3000Werkstor 7"
	for _, stored := range []string{composed, decomposed, spaced} {
		phc, err := password.Hash(stored, cheap, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for _, given := range []string{composed, decomposed, spaced} {
			if ok, err := password.Verify(phc, given); err != nil || !ok {
				t.Errorf("stored as %q, given as %q: got %t, %v", stored, given, ok, err)
			}
		}
		if ok, _ := password.Verify(phc, "Cafe am Werkstor 7"); ok {
			t.Error("a password without the accent is right")
		}
	}
	for _, old := range []string{decomposed, "tab\tin an older password", "\xff\xfe older than any rule"} {
		salt := []byte("0123456789abcdef")
		hash := argon2.IDKey([]byte(old), salt, 1, 64, 1, 32)
		encode := base64.RawStdEncoding.EncodeToString
		phc := "$argon2id$v=19$m=64,t=1,p=1$" + encode(salt) + "$" + encode(hash)
		if ok, err := password.Verify(phc, old); err != nil || !ok {
			t.Errorf("%q, stored as it was typed: got %t, %v", old, ok, err)
		}
	}
}

func TestNoRandomness(t *testing.T) {
	t.Parallel()
	if _, err := password.Hash("x", cheap, bytes.NewReader(make([]byte, 15))); err == nil {
		t.Error("got no error, want one for 15 random bytes")
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, given := range []string{"correct horse battery staple", strings.Repeat("correct battery!", 16)} {
		b.Run(strconv.Itoa(len(given)), func(b *testing.B) {
			for b.Loop() {
				_ = password.Check(given, "ada.lovelace")
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	for _, phc := range []string{
		"", "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=064,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=0,p=1$$",
	} {
		f.Add(phc)
	}
	f.Fuzz(func(t *testing.T, phc string) {
		if strings.Contains(phc, "m=") && len(phc) > 30 && !strings.Contains(phc, "m=64,t=1,p=1") {
			t.Skip("too expensive")
		}
		if _, err := password.Verify(phc, "x"); err != nil && !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%q: got %v, want telemetry.ErrInvalid", phc, err)
		}
	})
}

// Package password hashes and verifies passwords with argon2id (RFC 9106). A hash is
// stored as a PHC string,
//
//	$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>
//
// with salt (16 bytes) and hash (32 bytes) in base64 without padding.
//
// What is hashed is the password in the profile OpaqueString of PRECIS (RFC 8265): in NFC,
// with U+0020 for any space. A keyboard that composes letters and one that does not give the
// same password.
package password

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Limits of a new password. The minimum is that of NIST SP 800-63B-4 for a password that is
// the only factor; the maximum bounds the cost of hashing, and has room for 64 characters of
// any script, as the same document demands.
const (
	MinLength = 15 // characters
	MaxBytes  = 256
)

const (
	saltBytes = 16
	hashBytes = 32
	version   = argon2.Version
)

// Cost is the cost of one hash. It is part of the PHC string.
type Cost struct {
	MemoryKiB uint32
	Passes    uint32
	Threads   uint8
}

// DefaultCost is the lowest that OWASP's cheat sheet recommends (19 MiB, two passes, one
// lane): the Lambda function that hashes has a fraction of a processor.
func DefaultCost() Cost { return Cost{MemoryKiB: 19 << 10, Passes: 2, Threads: 1} }

// The highest costs that Verify accepts, so that a row that was tampered with cannot use
// up the function's memory and time.
const (
	maxMemoryKiB = 128 << 10
	maxPasses    = 16
	maxThreads   = 4
)

// Check reports why a password is not valid as a new one. context holds words that an attacker
// tries first, such as the account's name. The error wraps telemetry.ErrInvalid.
func Check(password string, context ...string) error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: password: %s", telemetry.ErrInvalid, fmt.Sprintf(format, args...))
	}
	if !utf8.ValidString(password) {
		return invalid("must be UTF-8")
	}
	if len(password) > MaxBytes {
		return invalid("must be at most %d bytes", MaxBytes)
	}
	if utf8.RuneCountInString(password) < MinLength {
		return invalid("must be at least %d characters", MinLength)
	}
	prepared, err := precis.OpaqueString.String(password)
	if err != nil {
		return invalid("must not have control characters, or others that cannot be typed (RFC 8265, OpaqueString)")
	}
	if len(prepared) > MaxBytes {
		return invalid("must be at most %d bytes", MaxBytes)
	}
	if n := utf8.RuneCountInString(prepared); n < MinLength {
		return invalid("must be at least %d characters, and has %d in the composed form", MinLength, n)
	}
	if guessable(prepared, context) {
		return invalid("is too easy to guess: it consists of common passwords, the name, repetitions, sequences or rows of the keyboard")
	}
	return nil
}

// Requirement returns what a password must be, for whoever gave it, of an error of Check.
func Requirement(err error) string {
	return strings.TrimPrefix(err.Error(), telemetry.ErrInvalid.Error()+": password: ")
}

// prepare returns the form of a password that is hashed. One that is not valid as a new
// password is hashed as it is: it may be older than the profile.
func prepare(password string) string {
	prepared, err := precis.OpaqueString.String(password)
	if err != nil {
		return password
	}
	return prepared
}

// Hash returns the PHC string of a password, with a salt from random.
func Hash(password string, cost Cost, random io.Reader) (string, error) {
	salt := make([]byte, saltBytes)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", fmt.Errorf("password salt: %w", err)
	}
	hash := derive(prepare(password), salt, cost, hashBytes)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		version, cost.MemoryKiB, cost.Passes, cost.Threads, encode(salt), encode(hash)), nil
}

// Digest returns a digest of data that has a password in it, for comparisons: it costs as much
// to guess as a hash of DefaultCost. The salt need not be secret, only different.
func Digest(data, salt []byte) [hashBytes]byte {
	sum := sha256.Sum256(salt)
	return [hashBytes]byte(derive(string(data), sum[:saltBytes], DefaultCost(), hashBytes))
}

func derive(password string, salt []byte, cost Cost, length int) []byte {
	return argon2.IDKey([]byte(password), salt, cost.Passes, cost.MemoryKiB, cost.Threads, uint32(length))
}

// Verify reports whether the PHC string is that of the password. The time that it takes
// depends on the cost in the string and on the given password only. The error wraps
// telemetry.ErrInvalid: the string is not valid.
//
// A string that is older than the profile was made of the password as it was typed then, so
// that a password whose prepared form differs is tried in both.
func Verify(phc, password string) (bool, error) {
	cost, salt, hash, err := parse(phc)
	if err != nil {
		return false, err
	}
	prepared := prepare(password)
	right := subtle.ConstantTimeCompare(derive(prepared, salt, cost, len(hash)), hash)
	if prepared != password {
		right |= subtle.ConstantTimeCompare(derive(password, salt, cost, len(hash)), hash)
	}
	return right == 1, nil
}

// Outdated reports whether a PHC string has another cost: the next login should store a
// new one.
func Outdated(phc string, cost Cost) bool {
	have, _, _, err := parse(phc)
	return err != nil || have != cost
}

func parse(phc string) (cost Cost, salt, hash []byte, err error) {
	invalid := func(what string) (Cost, []byte, []byte, error) {
		return Cost{}, nil, nil, fmt.Errorf("%w: stored password: %s", telemetry.ErrInvalid, what)
	}
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(version) {
		return invalid("not a PHC string of argon2id, version 19")
	}
	parameters := strings.Split(parts[3], ",")
	if len(parameters) != 3 {
		return invalid("the parameters must be m, t and p")
	}
	var values [3]uint64
	for i, bound := range []struct {
		name string
		most uint64
	}{{"m=", maxMemoryKiB}, {"t=", maxPasses}, {"p=", maxThreads}} {
		text, ok := strings.CutPrefix(parameters[i], bound.name)
		value, err := strconv.ParseUint(text, 10, 32)
		if !ok || err != nil || value < 1 || value > bound.most || strconv.FormatUint(value, 10) != text {
			return invalid("parameter " + bound.name + " is missing or out of bounds")
		}
		values[i] = value
	}
	decode := base64.RawStdEncoding.Strict().DecodeString
	if salt, err = decode(parts[4]); err != nil || len(salt) < 8 || len(salt) > 64 {
		return invalid("the salt is not valid")
	}
	if hash, err = decode(parts[5]); err != nil || len(hash) < 16 || len(hash) > 64 {
		return invalid("the hash is not valid")
	}
	return Cost{uint32(values[0]), uint32(values[1]), uint8(values[2])}, salt, hash, nil
}

package timescale

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// scramIterations is PostgreSQL's default, scram_iterations.
const scramIterations = 4096

// scramVerifier returns what PostgreSQL stores of a password (RFC 5803; pg_authid in its
// manual), so that ALTER ROLE … PASSWORD does not carry the password itself into logs and
// statistics. The password must be printable ASCII: others would have to be prepared by
// SASLprep first.
func scramVerifier(password string) (string, error) {
	for i := range len(password) {
		if c := password[i]; c < ' ' || c > '~' {
			return "", fmt.Errorf("the password has a character other than printable ASCII at byte %d", i)
		}
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	return scramOf(password, salt, scramIterations)
}

func scramOf(password string, salt []byte, iterations int) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	sign := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(sign("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]), encode(sign("Server Key"))), nil
}

package secrets

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

const (
	lowerCase   = "abcdefghijklmnopqrstuvwxyz"
	upperCase   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits      = "0123456789"
	punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

	defaultLength = 32
	maxLength     = 4096
)

// Generate describes a random value, with the properties of GenerateSecretString of
// AWS::SecretsManager::Secret.
type Generate struct {
	// Length of the random text; 0 means 32.
	Length             int    `json:"PasswordLength"`
	ExcludeCharacters  string `json:"ExcludeCharacters"`
	ExcludeLowercase   bool   `json:"ExcludeLowercase"`
	ExcludeUppercase   bool   `json:"ExcludeUppercase"`
	ExcludeNumbers     bool   `json:"ExcludeNumbers"`
	ExcludePunctuation bool   `json:"ExcludePunctuation"`
	IncludeSpace       bool   `json:"IncludeSpace"`
	// RequireEachIncludedType is true when nil, as in AWS.
	RequireEachIncludedType *bool `json:"RequireEachIncludedType"`
	// SecretStringTemplate is a JSON object to which the random text is added as member
	// GenerateStringKey; if both are empty, the text is the value.
	SecretStringTemplate string `json:"SecretStringTemplate"`
	GenerateStringKey    string `json:"GenerateStringKey"`
}

// value generates a value.
func (g Generate) value() (string, error) {
	text, err := g.text()
	if err != nil {
		return "", err
	}
	if g.SecretStringTemplate == "" && g.GenerateStringKey == "" {
		return text, nil
	}
	if g.SecretStringTemplate == "" || g.GenerateStringKey == "" {
		return "", errors.New("SecretStringTemplate and GenerateStringKey must be set together")
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(g.SecretStringTemplate), &object); err != nil || object == nil {
		return "", errors.New("SecretStringTemplate is not a JSON object")
	}
	object[g.GenerateStringKey] = text
	value, err := json.Marshal(object)
	return string(value), err
}

func (g Generate) text() (string, error) {
	length := g.Length
	if length == 0 {
		length = defaultLength
	}
	var kinds []string
	for _, kind := range []struct {
		characters string
		excluded   bool
	}{
		{lowerCase, g.ExcludeLowercase},
		{upperCase, g.ExcludeUppercase},
		{digits, g.ExcludeNumbers},
		{punctuation, g.ExcludePunctuation},
		{" ", !g.IncludeSpace},
	} {
		if kind.excluded {
			continue
		}
		left := strings.Map(func(r rune) rune {
			if strings.ContainsRune(g.ExcludeCharacters, r) {
				return -1
			}
			return r
		}, kind.characters)
		if left != "" {
			kinds = append(kinds, left)
		}
	}
	all := strings.Join(kinds, "")
	eachKind := g.RequireEachIncludedType == nil || *g.RequireEachIncludedType
	if all == "" || length < 1 || length > maxLength || eachKind && length < len(kinds) {
		return "", fmt.Errorf("cannot generate %d characters of %d types", length, len(kinds))
	}
	for {
		text, err := randomText(all, length)
		if err != nil {
			return "", err
		}
		// Generated anew rather than repaired: every allowed text stays equally likely.
		if !eachKind || hasEach(text, kinds) {
			return text, nil
		}
	}
}

func hasEach(text string, kinds []string) bool {
	for _, kind := range kinds {
		if !strings.ContainsAny(text, kind) {
			return false
		}
	}
	return true
}

// randomText returns characters of from, each equally likely.
func randomText(from string, length int) (string, error) {
	var b strings.Builder
	count := big.NewInt(int64(len(from)))
	for range length {
		n, err := rand.Int(rand.Reader, count)
		if err != nil {
			return "", err
		}
		b.WriteByte(from[n.Int64()])
	}
	return b.String(), nil
}

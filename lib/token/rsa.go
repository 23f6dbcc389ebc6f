package token

import (
	"crypto/rsa"
	"math/big"

	"github.com/golang-jwt/jwt/v5"
)

// Shorter moduli are weak (NIST SP 800-131A), longer ones slow to verify with.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

func parseRSA(members object) any {
	n, e := new(big.Int).SetBytes(members.bytes("n")), new(big.Int).SetBytes(members.bytes("e"))
	// An exponent of 1 makes every message its own signature.
	if n.BitLen() < minRSABits || n.BitLen() > maxRSABits || n.Bit(0) == 0 ||
		!e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 || e.Bit(0) == 0 || roca(n) {
		return nil
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}
}

// roca reports whether a modulus has the fingerprint of Infineon's broken key generator
// (CVE-2017-15361; Nemec et al., "The Return of Coppersmith's Attack", 2017): modulo each
// small prime it is a power of 65537. Such a key can be factored; any other has
// the fingerprint with a probability of about 2^-27.
func roca(n *big.Int) bool {
	var rest big.Int
	for _, prime := range []int64{
		3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
		101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
	} {
		if !powerOf(65537%prime, rest.Mod(n, big.NewInt(prime)).Int64(), prime) {
			return false
		}
	}
	return true
}

// powerOf reports whether x is a power of base modulo prime.
func powerOf(base, x, prime int64) bool {
	for power, i := int64(1), int64(0); i < prime; i++ {
		if power == x {
			return true
		}
		power = power * base % prime
	}
	return false
}

// exactSalt makes RSASSA-PSS require the salt length of JWS, that of the hash (RFC 7518,
// 3.5). By default the library accepts any length.
func exactSalt(m *jwt.SigningMethodRSAPSS) *jwt.SigningMethodRSAPSS {
	return &jwt.SigningMethodRSAPSS{SigningMethodRSA: m.SigningMethodRSA, Options: m.Options, VerifyOptions: m.Options}
}

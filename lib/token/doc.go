// Package token mints and verifies the access tokens by which the platform knows
// a caller, publishes the keys to check them with, and decides for API Gateway
// whether a request may pass.
//
// A token of the platform is a JSON Web Token (RFC 7519) in the profile of
// RFC 9068, signed with ES256 (ECDSA on P-256 with SHA-256, RFC 7518, 3.4):
//
//	{"typ":"at+jwt","alg":"ES256","kid":"<RFC 7638 thumbprint of the key>"}
//	{"iss":"https://…","aud":"insighthub","sub":"gw-1","jti":"…","iat":…,"nbf":…,"exp":…,
//	 "gateway":"gw-1","site":"plant-1","role":"gateway"}
//
// A person's has, in place of the last three, the roles by site; "*" is every site:
//
//	"grants":{"plant-1":"operator","*":"viewer"}
//
// What a token's own header says decides nothing (RFC 8725, 3.1): the algorithm
// belongs to the key, and the key is found by its kid in a map, or not at all.
// What RFC 8725 leaves to taste is settled for the narrower reading: one spelling
// of each token, no member twice, no header member that is not known.
//
// Beside its own the platform takes the tokens of trusted issuers, by their JWKS
// (RFC 7517). Who may do what then stands in a claim that the configuration names.
package token

import "time"

const (
	// ClockSkew is how far the clocks of who mints and who verifies may differ.
	ClockSkew = 30 * time.Second
	// MaxLifetime bounds a token of the platform from its iat to its exp.
	MaxLifetime = time.Hour
	// MaxTrustedLifetime is the same for a trusted issuer's: what common ones allow at most.
	MaxTrustedLifetime = 24 * time.Hour
	// MaxTokenBytes bounds what is parsed at all. An HTTP API takes 10 KiB of headers.
	MaxTokenBytes = 8 << 10
	// MaxGrants bounds the sites that a token names.
	MaxGrants = 100
)

// Lifetimes of the tokens that the platform gives out.
const (
	PersonLifetime  = 10 * time.Minute
	GatewayLifetime = 15 * time.Minute
)

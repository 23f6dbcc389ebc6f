// Package token mints and verifies the platform's access tokens, publishes the keys to
// verify them with, and authorizes requests for API Gateway.
//
// A token of the platform is a JSON Web Token (RFC 7519) in the profile of
// RFC 9068, signed with ES256 (ECDSA on P-256 with SHA-256, RFC 7518, 3.4):
//
//	{"typ":"at+jwt","alg":"ES256","kid":"<RFC 7638 thumbprint of the key>"}
//	{"iss":"https://…","aud":"insighthub","sub":"gw-1","jti":"…","iat":…,"nbf":…,"exp":…,
//	 "gateway":"gw-1","site":"plant-1","role":"gateway"}
//
// The token of a person has, instead of the last three, the roles by site; "*" is every site:
//
//	"grants":{"plant-1":"operator","*":"viewer"}
//
// A token's own header decides nothing (RFC 8725, 3.1): the algorithm belongs to the key,
// and the key is looked up in a map by its kid. Where RFC 8725 leaves a choice the stricter
// one is made: one encoding of each token, no repeated member, no unknown header member.
//
// The platform also accepts the tokens of trusted issuers, verified by their JWKS
// (RFC 7517). Their grants are in a claim that the configuration names.
package token

import "time"

const (
	// ClockSkew is the tolerated difference between the clocks of issuer and verifier.
	ClockSkew = 30 * time.Second
	// MaxLifetime limits the time from iat to exp of the platform's tokens.
	MaxLifetime = time.Hour
	// MaxTrustedLifetime limits it for trusted issuers: the maximum of common ones.
	MaxTrustedLifetime = 24 * time.Hour
	// MaxTokenBytes limits what is parsed. An HTTP API accepts 10 KiB of headers.
	MaxTokenBytes = 8 << 10
	// MaxGrants limits the sites of a token.
	MaxGrants = 100
)

// Lifetimes of the tokens that the platform issues.
const (
	PersonLifetime  = 10 * time.Minute
	GatewayLifetime = 15 * time.Minute
)

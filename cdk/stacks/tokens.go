package stacks

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// Tokens is what a function needs that mints tokens or verifies them.
type Tokens struct {
	// Keys sign tokens: the first does, the others did.
	Keys []awskms.Key
	// Environment is TOKEN_ISSUER, TOKEN_AUDIENCE, SIGNING_KEYS and TRUSTED_ISSUERS.
	Environment map[string]*string
}

// newTokens makes the stage's signing keys. issuer is the platform's name in its
// tokens unless the stage has another.
func newTokens(stack awscdk.Stack, stage config.Stage, issuer *string) Tokens {
	var t Tokens
	type entry struct {
		Key      string `json:"key"`
		NotAfter string `json:"not_after,omitempty"`
	}
	var entries []entry
	for _, k := range stage.Tokens.Keys {
		key := awskms.NewKey(stack, jsii.String("SigningKey"+k.Name), &awskms.KeyProps{
			Description: jsii.String("Signs access tokens"),
			KeySpec:     awskms.KeySpec_ECC_NIST_P256,
			KeyUsage:    awskms.KeyUsage_SIGN_VERIFY,
			// A token outlives its key by minutes: nothing is lost with it.
			RemovalPolicy: constructs.RemovalPolicy(stage.Removal),
		})
		t.Keys = append(t.Keys, key)
		e := entry{Key: *key.KeyArn()} // a token that the synthesis resolves
		if !k.NotAfter.IsZero() {
			e.NotAfter = k.NotAfter.UTC().Format(time.RFC3339)
		}
		entries = append(entries, e)
	}
	if stage.Tokens.Issuer != "" {
		issuer = jsii.String(stage.Tokens.Issuer)
	}
	t.Environment = map[string]*string{
		"TOKEN_ISSUER":    issuer,
		"TOKEN_AUDIENCE":  jsii.String(stage.Tokens.Audience),
		"SIGNING_KEYS":    jsii.String(inJSON(entries)),
		"TRUSTED_ISSUERS": jsii.String(trustedIssuers(stage.Tokens.Trusted)),
	}
	return t
}

func trustedIssuers(list []config.TrustedIssuer) string {
	type entry struct {
		Issuer      string   `json:"issuer"`
		JWKSURI     string   `json:"jwks_uri"`
		Audience    string   `json:"audience"`
		Algorithms  []string `json:"algorithms"`
		GrantsClaim string   `json:"grants_claim"`
	}
	entries := make([]entry, len(list))
	for i, o := range list {
		entries[i] = entry(o)
	}
	return inJSON(entries)
}

func inJSON(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("texts are always JSON: %v", err))
	}
	return string(raw)
}

// AllowVerify lets a function read the public keys, and nothing else of them.
func (t Tokens) AllowVerify(f constructs.GoFunction) {
	for _, key := range t.Keys {
		f.Allow([]string{"kms:GetPublicKey"}, key.KeyArn())
	}
}

// AllowMint lets a function sign with the first key, and read all public keys.
func (t Tokens) AllowMint(f constructs.GoFunction) {
	t.AllowVerify(f)
	f.Allow([]string{"kms:Sign"}, t.Keys[0].KeyArn())
}

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

// Tokens is what a function needs to sign or verify tokens.
type Tokens struct {
	// Keys verify tokens; the first signs them too.
	Keys []awskms.Key
	// Environment is TOKEN_ISSUER, TOKEN_AUDIENCE, SIGNING_KEYS and TRUSTED_ISSUERS.
	Environment map[string]*string
}

// newTokens adds the stage's signing keys. issuer is the iss of the platform's tokens
// unless the stage configures another.
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
			// Tokens are valid for minutes only: little is lost with the key.
			RemovalPolicy: constructs.RemovalPolicy(stage.Removal),
		})
		t.Keys = append(t.Keys, key)
		e := entry{Key: *key.KeyArn()} // a token of the CDK, which the synthesis resolves
		if !k.NotAfter.IsZero() {
			e.NotAfter = k.NotAfter.UTC().Format(time.RFC3339)
		}
		entries = append(entries, e)
	}
	if stage.Tokens.Issuer != "" {
		issuer = jsii.String(stage.Tokens.Issuer)
	}
	t.publish(stack, stage, toJSON(entries))
	t.Environment = map[string]*string{
		"TOKEN_ISSUER":    issuer,
		"TOKEN_AUDIENCE":  jsii.String(stage.Tokens.Audience),
		"SIGNING_KEYS":    jsii.String(toJSON(entries)),
		"TRUSTED_ISSUERS": jsii.String(trustedIssuers(stage.Tokens.Trusted)),
	}
	return t
}

// publish publishes the list of keys, and their ARNs, for the stacks that are deployed
// later. An export would do the same, but CloudFormation does not remove one while a
// deployed stack imports it, so that no key could ever be removed.
func (t Tokens) publish(stack awscdk.Stack, stage config.Stage, list string) {
	arns := make([]*string, len(t.Keys))
	for i, key := range t.Keys {
		arns[i] = key.KeyArn()
		// The self-checks that were deployed before November 2026 import it.
		stack.ExportValue(key.KeyArn(), nil)
	}
	publish(stack, stage, "SigningKeys", list)
	publishList(stack, stage, "SigningKeyArns", arns)
}

// importTokens returns the published keys for a function in another stack that signs.
func importTokens(stack awscdk.Stack, stage config.Stage) (list *string, allowSign func(program)) {
	list, allowVerify := importPublicKeys(stack, stage)
	return list, func(f program) {
		allowVerify(f)
		f.Allow([]string{"kms:Sign"}, awscdk.Fn_Select(jsii.Number(0), readList(stack, stage, "SigningKeyArns")))
	}
}

// importPublicKeys returns the published keys for a program in another stack that verifies.
func importPublicKeys(stack awscdk.Stack, stage config.Stage) (list *string, allowVerify func(program)) {
	arns := readList(stack, stage, "SigningKeyArns")
	return read(stack, stage, "SigningKeys"), func(f program) { f.AllowAll([]string{"kms:GetPublicKey"}, arns) }
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
	for i, trusted := range list {
		entries[i] = entry(trusted)
	}
	return toJSON(entries)
}

func toJSON(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("marshal strings: %v", err))
	}
	return string(raw)
}

// AllowVerify allows a function to read the public keys.
func (t Tokens) AllowVerify(f constructs.GoFunction) {
	for _, key := range t.Keys {
		f.Allow([]string{"kms:GetPublicKey"}, key.KeyArn())
	}
}

// AllowSign allows a function to sign with the first key and to read all public keys.
func (t Tokens) AllowSign(f constructs.GoFunction) {
	t.AllowVerify(f)
	f.Allow([]string{"kms:Sign"}, t.Keys[0].KeyArn())
}

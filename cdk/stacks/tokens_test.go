package stacks_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/config"
)

// checkTokens checks that there is one signing key, on P-256, and that the authorizer
// verifies with it.
func checkTokens(t *testing.T, a assembly) {
	t.Helper()
	key := a.one(t, "AWS::KMS::Key")
	if key.Properties["KeySpec"] != "ECC_NIST_P256" || key.Properties["KeyUsage"] != "SIGN_VERIFY" || key.DeletionPolicy == "" {
		t.Errorf("key %v, deletion policy %q", key.Properties, key.DeletionPolicy)
	}
	_, id, _ := strings.Cut(key.ID, "/")
	env := environment(a.functions()["authorizer"])
	if got := text(env["SIGNING_KEYS"]); got != `{"Fn::Join":["",["[{\"key\":\"",{"Fn::GetAtt":["`+id+`","Arn"]},"\"}]"]]}` {
		t.Errorf("SIGNING_KEYS = %s", got)
	}
	if got := text(env["TOKEN_ISSUER"]); !regexp.MustCompile(`^\{"Fn::GetAtt":\["Http\w+","ApiEndpoint"\]\}$`).MatchString(got) {
		t.Errorf("TOKEN_ISSUER = %s, want the API's URL", got)
	}
	if env["TOKEN_AUDIENCE"] != "insighthub" || env["TRUSTED_ISSUERS"] != "[]" {
		t.Errorf("environment %v", env)
	}
}

// TestKeyRotation gives a stage a previous key, which verifies until its NotAfter, and a
// trusted issuer.
func TestKeyRotation(t *testing.T) {
	s := existingDatabase(t)
	s.Tokens = config.Tokens{
		Issuer: "https://api.example.com", Audience: "plants",
		Keys: []config.SigningKey{
			{Name: "Second"},
			{Name: "First", NotAfter: time.Date(2027, 1, 1, 1, 0, 0, 0, time.FixedZone("", 3600))},
		},
		Trusted: []config.TrustedIssuer{{
			Issuer: "https://idp.example.com", JWKSURI: "https://idp.example.com/jwks", Audience: "client",
			Algorithms: []string{"RS256"}, GrantsClaim: "cognito:groups",
		}},
	}
	a := synthesise(t, s)
	if n := len(a.ofType("AWS::KMS::Key")); n != 2 {
		t.Fatalf("%d keys, want 2", n)
	}
	env := environment(a.functions()["authorizer"])
	keys := text(env["SIGNING_KEYS"])
	if !regexp.MustCompile(`^\{"Fn::Join":\["",\["\[\{\\"key\\":\\"",` +
		`\{"Fn::GetAtt":\["SigningKeySecond\w+","Arn"\]\},"\\"\},\{\\"key\\":\\"",` +
		`\{"Fn::GetAtt":\["SigningKeyFirst\w+","Arn"\]\},"\\",\\"not_after\\":\\"2027-01-01T00:00:00Z\\"\}\]"\]\]\}$`).MatchString(keys) {
		t.Errorf("SIGNING_KEYS = %s", keys)
	}
	if env["TOKEN_ISSUER"] != "https://api.example.com" || env["TOKEN_AUDIENCE"] != "plants" {
		t.Errorf("environment %v", env)
	}
	var trusted []map[string]any
	raw, _ := env["TRUSTED_ISSUERS"].(string)
	err := json.Unmarshal([]byte(raw), &trusted)
	if err != nil || len(trusted) != 1 || trusted[0]["jwks_uri"] != "https://idp.example.com/jwks" {
		t.Errorf("TRUSTED_ISSUERS = %s, error %v", raw, err)
	}
	checkPrivileges(t, a)
}

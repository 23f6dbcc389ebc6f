package stacks_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// checkRoles expects that each function that uses the database can read the secret of its own
// role and of no other, that migrate can read and replace them all, and that only migrate (and
// the database's machine) can read the owner's.
func checkRoles(t *testing.T, a assembly) {
	t.Helper()
	own := map[string]string{
		"Api/Access": "Access", "Api/Resources": "Api", "Api/Refusals": "Refusals", "Data/Rollup": "Rollup",
		"Telemetry/Store": "Store", "Telemetry/Bridge": "Bridge", "Telemetry/Detect": "Detect",
	}
	roles := make([]string, 0, len(own))
	for _, role := range own {
		roles = append(roles, role)
	}
	slices.Sort(roles)
	role := regexp.MustCompile(`DatabaseRole([A-Z][a-z]+)[0-9A-F]{8}`)
	owner := regexp.MustCompile(`"(Ref|Fn::ImportValue)":"[^"]*DatabaseSecret[0-9A-F]{8}|` + existingSecret)
	seen := 0
	for _, policy := range a.ofType("AWS::IAM::Policy") {
		document := text(policy.Properties["PolicyDocument"])
		of := strings.Join(strings.SplitN(policy.ID, "/", 3)[:2], "/")
		for id := range own {
			if strings.HasPrefix(policy.ID, id) {
				of = id
			}
		}
		var may []string
		for _, found := range role.FindAllStringSubmatch(document, -1) {
			may = append(may, found[1])
		}
		slices.Sort(may)
		may = slices.Compact(may)
		var want []string
		switch {
		case own[of] != "":
			want = []string{own[of]}
			seen++
		case strings.HasPrefix(policy.ID, "Data/Migrate"):
			want = roles
			if n := strings.Count(document, "secretsmanager:PutSecretValue"); n == 0 {
				t.Error("migrate cannot complete the secrets of the roles")
			}
		}
		if diff := cmp.Diff(want, may); diff != "" {
			t.Errorf("%s may read the secrets of roles (-want +got):\n%s", policy.ID, diff)
		}
		if want := regexp.MustCompile(`^Data/(Migrate|Database)`).MatchString(policy.ID); want != owner.MatchString(document) {
			t.Errorf("%s may read the owner's secret: %v, want %v", policy.ID, !want, want)
		}
	}
	if seen != len(own) {
		t.Errorf("got %d policies of functions with a role, want %d", seen, len(own))
	}
	var limits map[string]int
	raw, _ := environment(a.functions()["migrate"])["ROLE_CONNECTIONS"].(string)
	if err := json.Unmarshal([]byte(raw), &limits); err != nil || len(limits) != len(own) {
		t.Errorf("ROLE_CONNECTIONS = %s, %v, want a limit for each of %d roles", raw, err, len(own))
	}
}

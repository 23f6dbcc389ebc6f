package stacks_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/cdk/stacks"
	"github.com/insighthub/insighthub/docs/contracttest"
)

// TestOpenRoutesAreTheContracts checks that exactly the operations without security in
// the contract have a route without an authorizer; all others are below /v1/.
func TestOpenRoutesAreTheContracts(t *testing.T) {
	contract := contracttest.Open(t)
	open := stacks.OpenRoutes()
	slices.Sort(open)
	if diff := cmp.Diff(open, contract.OpenOperations()); diff != "" {
		t.Errorf("routes without an authorizer, and operations without security:\n%s", diff)
	}
	for _, operation := range contract.Operations() {
		if _, path, _ := strings.Cut(operation, " "); !slices.Contains(open, operation) && !strings.HasPrefix(path, "/v1/") {
			t.Errorf("no route to %s", operation)
		}
	}
}

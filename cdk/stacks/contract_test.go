package stacks_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/cdk/stacks"
	"github.com/insighthub/insighthub/docs/contracttest"
)

// TestOpenRoutesAreTheContracts: a route without an authorizer is one that the contract
// describes so; all others lie where the authorizer stands before them.
func TestOpenRoutesAreTheContracts(t *testing.T) {
	contract := contracttest.Open(t)
	open := stacks.OpenRoutes()
	slices.Sort(open)
	if diff := cmp.Diff(open, contract.OpenOperations()); diff != "" {
		t.Errorf("routes without an authorizer, and operations without security:\n%s", diff)
	}
	for _, operation := range contract.Operations() {
		if _, path, _ := strings.Cut(operation, " "); !slices.Contains(open, operation) && !strings.HasPrefix(path, "/v1/") {
			t.Errorf("no route leads to %s", operation)
		}
	}
}

// Package archtest holds the rules of who may import whom, as a table that a
// test checks against the module's real imports.
//
// The directions: a main wires a use-case to its adapters; a use-case knows the
// domain's words and declares the ports that it needs; an adapter knows the
// domain's words and the system that it adapts. Adapters never import each other
// or a use-case. A package without a rule fails the test, so that each new one
// is placed on purpose.
package archtest

// Rule says what the packages below a path may import.
type Rule struct {
	// Path below the module; a trailing "/..." includes all packages below.
	Path string
	// Internal lists the module's packages that may be imported, in the same form.
	Internal []string
	// External lists the modules' paths, as prefixes, that may be imported in addition
	// to the standard library. "*" allows any but those of [Owned].
	External []string
	// Tests says that only tests import it, which a name that ends in "test" says too.
	Tests bool
}

// Owned maps a dependency to the packages that may import it; nobody else may.
func Owned() map[string][]string {
	return map[string][]string{
		"github.com/aws/aws-cdk-go":      {"cdk", "cdk/config", "cdk/constructs", "cdk/stacks"},
		"github.com/cdklabs/cdk-nag-go":  {"cdk/stacks"},
		"github.com/jackc/pgx":           {"lib/timescale/...", "loadtest/..."},
		"github.com/aws/aws-xray-sdk-go": nil,
		// They check responses in tests: no program links them.
		"github.com/getkin/kin-openapi":         {"docs/contracttest"},
		"github.com/santhosh-tekuri/jsonschema": {"docs/contracttest"},
	}
}

// Package archtest holds the rules of who may import whom, as a table that a
// test checks against the module's real imports.
//
// The directions: a main wires a use-case to its adapters; a use-case knows the
// domain's words and declares the ports that it needs; an adapter knows the
// domain's words and the system that it adapts. Adapters never import each other
// or a use-case. A package without a rule fails the test, so that each new one
// is placed on purpose.
package archtest

import "strings"

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

// Match reports whether a package path falls under a pattern.
func Match(pattern, path string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == base || strings.HasPrefix(path, base+"/")
	}
	return path == pattern
}

// Find returns the first rule for a package.
func Find(rules []Rule, path string) (Rule, bool) {
	for _, r := range rules {
		if Match(r.Path, path) {
			return r, true
		}
	}
	return Rule{}, false
}

// Violations lists what a package imports and may not. Imports inside the module
// are given without its name.
func Violations(rules []Rule, module, path string, imports []string) []string {
	rule, ok := Find(rules, path)
	if !ok {
		return []string{path + " has no rule in lib/archtest: say what it may import"}
	}
	var out []string
	for _, imp := range imports {
		internal, isInternal := strings.CutPrefix(imp, module+"/")
		switch {
		case isInternal:
			if !matchAny(rule.Internal, internal) {
				out = append(out, path+" must not import "+internal)
			}
		case isStandard(imp):
		default:
			if why := external(rule, path, imp); why != "" {
				out = append(out, why)
			}
		}
	}
	return out
}

func external(rule Rule, path, imp string) string {
	for dep, owners := range Owned() {
		if strings.HasPrefix(imp, dep) {
			if matchAny(owners, path) {
				return ""
			}
			return path + " must not import " + imp + ": only " + strings.Join(owners, ", ") + " may"
		}
	}
	for _, allowed := range rule.External {
		if allowed == "*" || strings.HasPrefix(imp, allowed) {
			return ""
		}
	}
	return path + " must not import " + imp
}

func matchAny(patterns []string, path string) bool {
	for _, p := range patterns {
		if Match(p, path) {
			return true
		}
	}
	return false
}

// isStandard holds for import paths whose first element has no dot.
func isStandard(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}

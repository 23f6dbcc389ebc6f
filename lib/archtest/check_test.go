package archtest

import "strings"

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

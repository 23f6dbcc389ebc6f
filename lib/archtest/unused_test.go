package archtest

import (
	"slices"
	"strings"
)

// Package is what `go list` says of a package; ImportPath is below the module.
type Package struct {
	ImportPath, Name, Doc              string
	Imports, TestImports, XTestImports []string
}

// Unused lists rules that match no package, and permissions that no package uses:
// unused permissions are removed.
func Unused(rules []Rule, module string, all []Package) []string {
	imported := make(map[string][]string, len(rules)) // by the rule's path
	matched := make(map[string]bool, len(rules))
	for _, p := range all {
		if r, ok := Find(rules, p.ImportPath); ok {
			matched[r.Path] = true
			imported[r.Path] = append(imported[r.Path], p.Imports...)
		}
	}
	var out []string
	for _, r := range rules {
		if !matched[r.Path] {
			out = append(out, r.Path+": the rule matches no package")
			continue
		}
		var internal, external []string
		for _, imp := range imported[r.Path] {
			if path, ok := strings.CutPrefix(imp, module+"/"); ok {
				internal = append(internal, path)
			} else if !isStandard(imp) {
				external = append(external, imp)
			}
		}
		for _, pattern := range r.Internal {
			if !slices.ContainsFunc(internal, func(path string) bool { return Match(pattern, path) }) {
				out = append(out, r.Path+": the permission to import "+pattern+" is not used")
			}
		}
		for _, prefix := range r.External {
			if !slices.ContainsFunc(external, func(imp string) bool { return prefix == "*" || strings.HasPrefix(imp, prefix) }) {
				out = append(out, r.Path+": the permission to import "+prefix+" is not used")
			}
		}
	}
	return out
}

// Unreachable lists packages below lib/ that no program imports, directly or through
// others, and test support (its rule or the end of its name says so) that no test imports
// or that a program does.
func Unreachable(rules []Rule, module string, all []Package) []string {
	byPath := make(map[string]Package, len(all))
	for _, p := range all {
		byPath[p.ImportPath] = p
	}
	reached := make(map[string]bool)
	var visit func(imports []string)
	visit = func(imports []string) {
		for _, imp := range imports {
			path, ok := strings.CutPrefix(imp, module+"/")
			if ok && !reached[path] {
				reached[path] = true
				visit(byPath[path].Imports)
			}
		}
	}
	for _, p := range all {
		if p.Name == "main" {
			visit(p.Imports)
		}
	}
	programs := make(map[string]bool, len(reached))
	for path := range reached {
		programs[path] = true
	}
	for _, p := range all {
		visit(p.TestImports)
		visit(p.XTestImports)
	}
	var out []string
	for _, p := range all {
		if !strings.HasPrefix(p.ImportPath, "lib/") || p.ImportPath == "lib/archtest" {
			continue
		}
		rule, _ := Find(rules, p.ImportPath)
		switch support := rule.Tests || strings.HasSuffix(p.Name, "test"); {
		case support && programs[p.ImportPath]:
			out = append(out, p.ImportPath+" is for tests, and a program imports it")
		case support && !reached[p.ImportPath]:
			out = append(out, p.ImportPath+" is imported by no test")
		case !support && p.Name != "main" && !programs[p.ImportPath]:
			out = append(out, p.ImportPath+" is imported by no program")
		}
	}
	slices.Sort(out)
	return out
}

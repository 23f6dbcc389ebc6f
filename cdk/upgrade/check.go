package upgrade

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind is the kind of a Problem.
type Kind string

// The kinds of problems.
const (
	// ExportInUse: an export is removed or changes while a deployed stack imports it; the
	// deployment of the exporting stack fails.
	ExportInUse Kind = "export in use"
	// ImportMissing: a stack imports what no deployed stack exports; its deployment fails.
	ImportMissing Kind = "import missing"
	// DataRemoved and DataReplaced: a resource with data or a known address is no longer in
	// the template, or gets a new, empty one in its place.
	DataRemoved  Kind = "data removed"
	DataReplaced Kind = "data replaced"
	// NameInUse: CloudFormation creates the new resource before it deletes the old one,
	// which still has the name; the deployment fails.
	NameInUse Kind = "name in use"
	// StackRemoved: the stack is no longer in the assembly; it stays deployed until it is
	// deleted by hand.
	StackRemoved Kind = "stack removed"
	// UnknownType: replacements.json lacks the type of a changed resource.
	UnknownType Kind = "unknown type"
)

// Problem is what would go wrong in a deployment.
type Problem struct {
	Kind Kind
	// Stack is without its stage, such as Data; Resource is a logical id or an export.
	Stack, Resource string
	Text            string
}

func (p Problem) String() string {
	return fmt.Sprintf("%s: %s/%s: %s", p.Kind, p.Stack, p.Resource, p.Text)
}

// check is the state of a comparison.
type check struct {
	table    map[string]map[string]string
	from, to Deployment
	// deployed is what is deployed at this point: from, with the stacks of to that were
	// deployed already.
	deployed Deployment
	// changed are the names of exports whose values changed.
	changed  map[string]bool
	problems []Problem
}

// Check returns the problems of deploying to where from is deployed, in the order in which
// they occur.
func Check(from, to Deployment) []Problem {
	c := check{table: replacements(), from: from, to: to, deployed: Deployment{}, changed: map[string]bool{}}
	maps.Copy(c.deployed, from)
	for _, name := range to.order() {
		c.stack(name)
		c.deployed[name] = to[name]
	}
	for _, name := range sortedKeys(from) {
		if _, ok := to[name]; !ok {
			c.report(StackRemoved, name, name, "the stack is not part of the assembly")
		}
	}
	return c.problems
}

func (c *check) report(kind Kind, stack, resource, format string, args ...any) {
	c.problems = append(c.problems, Problem{Kind: kind, Stack: short(stack), Resource: resource, Text: fmt.Sprintf(format, args...)})
}

// stack checks the deployment of one stack.
func (c *check) stack(name string) {
	before, after := c.from[name].Template, c.to[name].Template
	old := values{stack: name, template: before}
	now := values{stack: name, template: after, replaced: map[string]bool{}, changed: c.changed}
	for more := true; more; { // a replaced resource changes those that refer to it
		more = false
		for _, id := range sortedKeys(after.Resources) {
			if _, ok := before.Resources[id]; ok && !now.replaced[id] && c.replacedBy(old, now, id) != "" {
				now.replaced[id], more = true, true
			}
		}
	}
	c.imports(name)
	c.exports(name, old, now)
	c.resources(name, old, now)
}

// replacedBy returns the properties whose changes replace a resource, or "".
func (c *check) replacedBy(old, now values, id string) string {
	before, after := old.template.Resources[id], now.template.Resources[id]
	if before.Type != after.Type {
		return "Type"
	}
	var why []string
	for _, p := range sortedKeys(merged(before.Properties, after.Properties)) {
		if replaces(c.table, after.Type, p) && old.text(before.Properties[p]) != now.text(after.Properties[p]) {
			why = append(why, p)
		}
	}
	return strings.Join(why, ", ")
}

func merged(a, b map[string]any) map[string]any {
	all := map[string]any{}
	for _, m := range []map[string]any{a, b} {
		for k := range m {
			all[k] = nil
		}
	}
	return all
}

// imports checks that what a stack imports is exported by then.
func (c *check) imports(name string) {
	for _, export := range c.to[name].Template.Imports() {
		if !slices.ContainsFunc(sortedKeys(c.deployed), func(other string) bool {
			_, ok := c.deployed[other].Template.Exports()[export]
			return ok && other != name
		}) {
			c.report(ImportMissing, name, export, "no stack that is deployed by then exports it")
		}
	}
}

// exports checks that no export which a deployed stack imports is removed or changes.
func (c *check) exports(name string, old, now values) {
	before, after := old.template.Exports(), now.template.Exports()
	for _, export := range sortedKeys(before) {
		value, kept := after[export]
		if kept && old.text(before[export]) == now.text(value) {
			continue
		}
		c.changed[export] = true
		what := "is removed"
		if kept {
			what = "changes"
		}
		for _, other := range sortedKeys(c.deployed) {
			if other != name && slices.Contains(c.deployed[other].Template.Imports(), export) {
				c.report(ExportInUse, name, export, "the export %s, and the deployed stack %s imports it", what, short(other))
			}
		}
	}
}

// resources checks what happens to the resources of a stack.
func (c *check) resources(name string, old, now values) {
	before, after := old.template.Resources, now.template.Resources
	for _, id := range sortedKeys(before) {
		if _, ok := after[id]; !ok && stateful(before[id].Type) {
			c.report(DataRemoved, name, id, "the %s is no longer in the template (its deletion policy is %s)",
				before[id].Type, policy(before[id].DeletionPolicy))
		}
	}
	for _, id := range sortedKeys(after) {
		if _, known := c.table[after[id].Type]; !known && strings.HasPrefix(after[id].Type, "AWS::") {
			c.report(UnknownType, name, id, "%s: add it to cdk/upgrade/replacements.json", after[id].Type)
		}
		if !now.replaced[id] {
			continue
		}
		why := c.replacedBy(old, now, id)
		if stateful(after[id].Type) {
			c.report(DataReplaced, name, id, "a change of %s replaces the %s", why, after[id].Type)
		}
		if c.sameName(old, now, id, id) {
			c.report(NameInUse, name, id, "a change of %s replaces the %s, which keeps its name", why, after[id].Type)
		}
	}
	c.renamed(name, old, now)
}

// renamed finds resources with a new logical id and the name of one that is removed only
// after they are created.
func (c *check) renamed(name string, old, now values) {
	for _, id := range sortedKeys(now.template.Resources) {
		if _, ok := old.template.Resources[id]; ok {
			continue
		}
		for _, other := range sortedKeys(old.template.Resources) {
			if _, kept := now.template.Resources[other]; !kept && c.sameName(old, now, other, id) {
				c.report(NameInUse, name, id, "it has the name of %s, which is deleted after it is created", other)
			}
		}
	}
}

// sameName says whether the new resource has the fixed name of the old one.
func (c *check) sameName(old, now values, before, after string) bool {
	a, b := old.template.Resources[before], now.template.Resources[after]
	properties := names(b.Type)
	return a.Type == b.Type && len(properties) > 0 && fixed(a, properties) && fixed(b, properties) &&
		old.subset(a, properties) == now.subset(b, properties)
}

func policy(p string) string {
	if p == "" {
		return "Delete"
	}
	return p
}

package upgrade

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Template is the part of a CloudFormation template that matters for an upgrade.
type Template struct {
	Parameters map[string]Parameter `json:"Parameters,omitempty"`
	Resources  map[string]Resource  `json:"Resources"`
	Outputs    map[string]Output    `json:"Outputs,omitempty"`
}

// Parameter is a parameter of a template.
type Parameter struct {
	Type    string `json:"Type"`
	Default any    `json:"Default,omitempty"`
}

// Resource is a resource of a template.
type Resource struct {
	Type                string         `json:"Type"`
	Properties          map[string]any `json:"Properties,omitempty"`
	DeletionPolicy      string         `json:"DeletionPolicy,omitempty"`
	UpdateReplacePolicy string         `json:"UpdateReplacePolicy,omitempty"`
}

// Output is an output of a template, which may be exported.
type Output struct {
	Value  any `json:"Value"`
	Export *struct {
		Name any `json:"Name"`
	} `json:"Export,omitempty"`
}

// Stack is a template and the names of the stacks that are deployed before it.
type Stack struct {
	Template Template `json:"template"`
	After    []string `json:"after,omitempty"`
}

// Deployment is the stacks of one stage by name.
type Deployment map[string]Stack

// Read reads the deployment of one stage from a cloud assembly. stage is its tag in the
// manifest (insighthub:stage).
func Read(dir, stage string) (Deployment, error) {
	var manifest struct {
		Artifacts map[string]struct {
			Type       string
			Properties struct {
				TemplateFile string
				Tags         map[string]string
			}
			Dependencies []string
		}
	}
	if err := readJSON(filepath.Join(dir, "manifest.json"), &manifest); err != nil {
		return nil, err
	}
	d := Deployment{}
	for name, artifact := range manifest.Artifacts {
		if artifact.Type != "aws:cloudformation:stack" || artifact.Properties.Tags["insighthub:stage"] != stage {
			continue
		}
		var s Stack
		if err := readJSON(filepath.Join(dir, artifact.Properties.TemplateFile), &s.Template); err != nil {
			return nil, err
		}
		for _, before := range artifact.Dependencies {
			if manifest.Artifacts[before].Type == "aws:cloudformation:stack" {
				s.After = append(s.After, before)
			}
		}
		slices.Sort(s.After)
		d[name] = s
	}
	return d, nil
}

func readJSON(path string, into any) error {
	raw, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return fmt.Errorf("read assembly: %w", err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("read assembly: %s: %w", path, err)
	}
	return nil
}

// order returns the names of the stacks in the order of their deployment.
func (d Deployment) order() []string {
	var names []string
	seen := map[string]bool{}
	var add func(string)
	add = func(name string) {
		if _, ok := d[name]; !ok || seen[name] {
			return
		}
		seen[name] = true
		for _, before := range d[name].After {
			add(before)
		}
		names = append(names, name)
	}
	for _, name := range sortedKeys(d) {
		add(name)
	}
	return names
}

// Exports returns the value of each export of a template by name.
func (t Template) Exports() map[string]any {
	exports := map[string]any{}
	for _, o := range t.Outputs {
		if o.Export != nil {
			exports[fmt.Sprint(o.Export.Name)] = o.Value
		}
	}
	return exports
}

// Imports returns the sorted names of the exports that a template imports.
func (t Template) Imports() []string {
	found := map[string]bool{}
	walk(any(t.generic()), func(name string, arg any) {
		if name == "Fn::ImportValue" {
			found[fmt.Sprint(arg)] = true
		}
	})
	return sortedKeys(found)
}

func (t Template) generic() any {
	var v any
	raw, err := json.Marshal(t)
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(raw)).Decode(&v)
	}
	if err != nil {
		panic(fmt.Sprintf("a template that was JSON is not: %v", err)) // it was decoded from JSON
	}
	return v
}

// walk visits each member of v's objects.
func walk(v any, visit func(name string, arg any)) {
	switch v := v.(type) {
	case map[string]any:
		for name, arg := range v {
			visit(name, arg)
			walk(arg, visit)
		}
	case []any:
		for _, e := range v {
			walk(e, visit)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// short returns a stack's name without its stage: InsightHub-Dev-Data is Data.
func short(stack string) string { return stack[strings.LastIndex(stack, "-")+1:] }

package upgrade

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// The account and region in which templates without one are compared.
const (
	account = "123456789012"
	region  = "eu-central-1"
)

// values reduces the values of a template to a form in which equal values are equal: the
// pseudo parameters have values, lists are joined and selected from. References to
// resources stay, and those to replaced resources are marked.
type values struct {
	stack    string
	template Template
	// replaced are the logical ids of resources with a new physical id or attributes.
	replaced map[string]bool
	// changed are the names of exports whose values changed.
	changed map[string]bool
}

// text returns the form of v.
func (s values) text(v any) string {
	raw, err := json.Marshal(s.value(v))
	if err != nil {
		panic(fmt.Sprintf("a value that was JSON is not: %v", err)) // it was decoded from JSON
	}
	return string(raw)
}

func (s values) value(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = s.value(e)
		}
		return list
	case map[string]any:
		if len(v) == 1 {
			for name, arg := range v {
				if r, ok := s.function(name, arg); ok {
					return r
				}
			}
		}
		object := make(map[string]any, len(v))
		for name, e := range v {
			object[name] = s.value(e)
		}
		return object
	}
	return v
}

// function evaluates an intrinsic function; ok is false for another object.
func (s values) function(name string, arg any) (any, bool) {
	switch name {
	case "Ref":
		return s.ref(fmt.Sprint(arg)), true
	case "Fn::GetAtt":
		list, _ := arg.([]any)
		if len(list) == 0 {
			return nil, false
		}
		id := fmt.Sprint(list[0])
		return fmt.Sprintf("${%s.%v}%s", id, list[1:], s.mark(id)), true
	case "Fn::ImportValue":
		export := fmt.Sprint(arg)
		if s.changed[export] {
			return "${import " + export + "} replaced", true
		}
		return "${import " + export + "}", true
	case "Fn::GetAZs":
		return []any{region + "a", region + "b", region + "c"}, true
	case "Fn::Select":
		list, _ := arg.([]any)
		if len(list) != 2 {
			return nil, false
		}
		index := 0
		_, err := fmt.Sscan(fmt.Sprint(list[0]), &index)
		from, ok := s.value(list[1]).([]any)
		if err != nil || !ok || index < 0 || index >= len(from) {
			return nil, false
		}
		return from[index], true
	case "Fn::Join":
		return s.join(arg)
	}
	return nil, false
}

func (s values) join(arg any) (any, bool) {
	list, _ := arg.([]any)
	if len(list) != 2 {
		return nil, false
	}
	parts, ok := s.value(list[1]).([]any)
	if !ok {
		return nil, false
	}
	texts := make([]string, len(parts))
	for i, p := range parts {
		if texts[i], ok = p.(string); !ok {
			return nil, false
		}
	}
	return strings.Join(texts, fmt.Sprint(list[0])), true
}

func (s values) ref(name string) string {
	switch name {
	case "AWS::Region":
		return region
	case "AWS::AccountId":
		return account
	case "AWS::Partition":
		return "aws"
	case "AWS::URLSuffix":
		return "amazonaws.com"
	case "AWS::StackName":
		return s.stack
	}
	if p, ok := s.template.Parameters[name]; ok {
		return fmt.Sprintf("${parameter %v}", p.Default)
	}
	return "${" + name + "}" + s.mark(name)
}

func (s values) mark(id string) string {
	if s.replaced[id] {
		return " replaced"
	}
	return ""
}

// subset returns the form of some of a resource's properties together.
func (s values) subset(r Resource, properties []string) string {
	all := map[string]any{}
	for _, p := range properties {
		if v, ok := r.Properties[p]; ok {
			all[p] = v
		}
	}
	return s.text(all)
}

// fixed says that none of a resource's named properties is missing.
func fixed(r Resource, properties []string) bool {
	return !slices.ContainsFunc(properties, func(p string) bool { _, ok := r.Properties[p]; return !ok })
}

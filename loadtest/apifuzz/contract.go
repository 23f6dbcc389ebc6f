package apifuzz

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// object is an object of the contract or a schema.
type object = map[string]any

// operation is one operation of the contract.
type operation struct {
	id, method, path string
	// role is x-role; gateways is x-gateways.
	role     string
	gateways bool
	// path and query parameters, and headers, by name.
	pathNames []string
	query     map[string]parameter
	headers   map[string]parameter
	// body is the schema of the request body, nil if there is none; form says that it is
	// sent as a form.
	body object
	form bool
}

func (o operation) String() string { return o.method + " " + o.path }

type parameter struct {
	schema   object
	required bool
	example  any
}

// contract is the part of an OpenAPI document that requests are made of.
type contract struct {
	document   object
	operations []operation
}

// methods are those that a path of the contract may have.
func methods() []string { return []string{"get", "put", "post", "delete", "patch"} }

// parse reads an OpenAPI document. Each operation must have an x-role.
func parse(raw []byte) (*contract, error) {
	c := &contract{}
	if err := yaml.Unmarshal(raw, &c.document); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	paths := child(c.document, "paths")
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, method := range methods() {
			members := child(child(paths, path), method)
			if members == nil {
				continue
			}
			o, err := c.operation(method, path, members)
			if err != nil {
				return nil, err
			}
			c.operations = append(c.operations, o)
		}
	}
	return c, nil
}

func (c *contract) operation(method, path string, members object) (operation, error) {
	o := operation{
		method: strings.ToUpper(method), path: path, query: make(map[string]parameter), headers: make(map[string]parameter),
	}
	o.id, _ = members["operationId"].(string)
	o.role, _ = members["x-role"].(string)
	o.gateways, _ = members["x-gateways"].(bool)
	if !slices.Contains(roles(), o.role) {
		return o, fmt.Errorf("contract: %s %s: x-role %q, want one of %q", o.method, path, o.role, roles())
	}
	for _, v := range list(members["parameters"]) {
		p := c.resolve(v)
		name, _ := p["name"].(string)
		required, _ := p["required"].(bool)
		one := parameter{c.resolve(p["schema"]), required, p["example"]}
		switch p["in"] {
		case "path":
			o.pathNames = append(o.pathNames, name)
		case "query":
			o.query[name] = one
		case "header":
			o.headers[name] = one
		}
	}
	content := child(c.resolve(members["requestBody"]), "content")
	if media := child(content, "application/json"); media != nil {
		o.body = c.resolve(media["schema"])
	} else if media := child(content, "application/x-www-form-urlencoded"); media != nil {
		o.body, o.form = c.resolve(media["schema"]), true
	}
	return o, nil
}

// resolve follows a reference, and merges the schemas of allOf.
func (c *contract) resolve(v any) object {
	members, _ := v.(object)
	if ref, ok := members["$ref"].(string); ok {
		var target any = c.document
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			inner, _ := target.(object)
			target = inner[part]
		}
		return c.resolve(target)
	}
	if all := list(members["allOf"]); len(all) > 0 {
		merged := maps.Clone(members)
		delete(merged, "allOf")
		properties := make(object)
		required := list(merged["required"])
		for _, part := range append(all, object{"properties": merged["properties"]}) {
			schema := c.resolve(part)
			maps.Copy(properties, child(schema, "properties"))
			required = append(required, list(schema["required"])...)
		}
		merged["type"], merged["properties"], merged["required"] = "object", properties, required
		return merged
	}
	return members
}

// members returns the schemas of an object's members in the order of their names.
func (c *contract) members(schema object) (names []string, schemas map[string]object) {
	schemas = make(map[string]object)
	for name, v := range child(schema, "properties") {
		if s := c.resolve(v); s != nil { // false forbids the member
			schemas[name] = s
		}
	}
	return slices.Sorted(maps.Keys(schemas)), schemas
}

func child(v object, name string) object { o, _ := v[name].(object); return o }
func list(v any) []any                   { l, _ := v.([]any); return l }

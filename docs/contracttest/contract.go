// Package contracttest checks requests and responses against the contract, in tests.
//
// The schemas are compiled by a validator of JSON Schema 2020-12, the dialect of
// OpenAPI 3.1, from the document itself, so that every keyword and every reference has
// the meaning of the standard.
package contracttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/insighthub/insighthub/docs"
)

const address = "contract:openapi"

// Contract is a parsed contract. It is safe for concurrent use.
type Contract struct {
	document   map[string]any
	operations []operation

	mu       sync.Mutex // guards compiler and compiled
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

type operation struct {
	method, path string
	pointer      string // JSON pointer of the operation
	members      map[string]any
	parameters   []located
}

// located is an object of the document with its JSON pointer.
type located struct {
	pointer string
	members map[string]any
}

// Open parses the contract of this module.
func Open(tb testing.TB) *Contract {
	tb.Helper()
	c, err := Parse(docs.OpenAPI)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// Parse parses a contract, which must be a valid OpenAPI 3.1 document.
func Parse(raw []byte) (*Contract, error) {
	var tree any
	if err := yaml.Unmarshal(raw, &tree); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	if tree, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	c := &Contract{compiler: jsonschema.NewCompiler(), compiled: make(map[string]*jsonschema.Schema)}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource(address, tree); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	c.document = object(tree)
	for path, item := range object(c.document["paths"]) {
		for method, members := range object(item) {
			o := operation{strings.ToUpper(method), path, pointer("#", "paths", path, method), object(members), nil}
			for i, p := range list(o.members["parameters"]) {
				o.parameters = append(o.parameters, c.resolve(pointer(o.pointer, "parameters", strconv.Itoa(i)), p))
			}
			c.operations = append(c.operations, o)
		}
	}
	return c, nil
}

// Operations returns each as "METHOD /path".
func (c *Contract) Operations() []string {
	return c.list(func(operation) bool { return true })
}

// IDs returns the operationId of the operations that which accepts, as "METHOD /path".
func (c *Contract) IDs(which func(operation string) bool) (ids []string) {
	for _, o := range c.operations {
		if id, _ := o.members["operationId"].(string); which(o.method + " " + o.path) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// OpenOperations returns the operations that require no token.
func (c *Contract) OpenOperations() []string {
	return c.list(func(o operation) bool {
		security, own := o.members["security"]
		return own && len(list(security)) == 0
	})
}

// OperationID returns the operationId of an operation, "METHOD /path"; empty if there is none.
func (c *Contract) OperationID(name string) string {
	for _, o := range c.operations {
		if o.method+" "+o.path == name {
			id, _ := o.members["operationId"].(string)
			return id
		}
	}
	return ""
}

func (c *Contract) list(which func(operation) bool) (names []string) {
	for _, o := range c.operations {
		if which(o) {
			names = append(names, o.method+" "+o.path)
		}
	}
	slices.Sort(names)
	return names
}

// find returns the operation of a request and the values of the path's parameters. A
// literal segment takes precedence over a parameter.
func (c *Contract) find(method, path string) (found operation, values map[string]string, ok bool) {
	segments := strings.Split(path, "/")
	for _, o := range c.operations {
		if o.method != method {
			continue
		}
		if these, fits := fit(strings.Split(o.path, "/"), segments); fits && (!ok || len(these) < len(values)) {
			found, values, ok = o, these, true
		}
	}
	return found, values, ok
}

// methods returns the methods of a path in alphabetical order; GET implies HEAD.
func (c *Contract) methods(path string) []string {
	var methods []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPatch, http.MethodPost, http.MethodPut} {
		if _, _, ok := c.find(method, path); !ok {
			continue
		}
		methods = append(methods, method)
		if method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	return methods
}

func fit(pattern, segments []string) (map[string]string, bool) {
	if len(pattern) != len(segments) {
		return nil, false
	}
	values := make(map[string]string)
	for i, p := range pattern {
		if strings.HasPrefix(p, "{") {
			values[strings.Trim(p, "{}")] = segments[i]
		} else if p != segments[i] {
			return nil, false
		}
	}
	return values, true
}

// resolve follows a reference.
func (c *Contract) resolve(at string, v any) located {
	members := object(v)
	ref, ok := members["$ref"].(string)
	if !ok {
		return located{at, members}
	}
	var target any = c.document
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		target = object(target)[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
	}
	return c.resolve(ref, target)
}

// validate validates a value by the schema at a pointer.
func (c *Contract) validate(at string, value any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	schema, ok := c.compiled[at]
	if !ok {
		var err error
		if schema, err = c.compiler.Compile(address + at); err != nil {
			return fmt.Errorf("contract: schema %s: %w", at, err)
		}
		c.compiled[at] = schema
	}
	return schema.Validate(value)
}

func (c *Contract) validateJSON(at string, text []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("not valid JSON: %w", err)
	}
	return c.validate(at, value)
}

// Examples validates every example of the document by its schema, and compiles each
// schema. It returns the number of examples.
func (c *Contract) Examples() (n int, problems []error) {
	var walk func(at string, v any, schema bool)
	walk = func(at string, v any, schema bool) {
		for i, item := range list(v) {
			walk(pointer(at, strconv.Itoa(i)), item, false)
		}
		members, ok := v.(map[string]any)
		if !ok {
			return
		}
		check := func(schemaAt string, example any) {
			n++
			if err := c.validate(schemaAt, example); err != nil {
				problems = append(problems, fmt.Errorf("example at %s: %w", at, err))
			}
		}
		if s, ok := members["schema"]; ok {
			if example, ok := members["example"]; ok {
				check(pointer(at, "schema"), example)
			}
			walk(pointer(at, "schema"), s, true)
		}
		if schema || strings.HasPrefix(at, "#/components/schemas/") {
			for _, example := range list(members["examples"]) {
				check(at, example)
			}
		}
		for name, m := range members {
			if name != "schema" && name != "example" && name != "examples" {
				walk(pointer(at, name), m, false)
			}
		}
	}
	walk("#", c.document, false)
	for name := range object(object(c.document["components"])["schemas"]) {
		if err := c.validate(pointer("#", "components", "schemas", name), nil); err != nil && strings.HasPrefix(err.Error(), "contract:") {
			problems = append(problems, err)
		}
	}
	return n, problems
}

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }
func list(v any) []any            { l, _ := v.([]any); return l }

func pointer(base string, parts ...string) string {
	out := []byte(base)
	for _, p := range parts {
		out = append(append(out, '/'), strings.NewReplacer("~", "~0", "/", "~1").Replace(p)...)
	}
	return string(out)
}

// headerSet returns headers with canonical names.
func headerSet(h map[string]string) http.Header {
	out := make(http.Header, len(h))
	for name, value := range h {
		out.Set(name, value)
	}
	return out
}

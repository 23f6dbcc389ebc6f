package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// read returns the data of the page.
func read(contract []byte) (*page, error) {
	root, err := parse(contract)
	if err != nil {
		return nil, err
	}
	p := &page{Title: root.text("info", "title"), Version: root.text("info", "version"), Description: root.text("info", "description")}
	byName := make(map[string]*tag)
	for _, t := range root.get("tags").items() {
		byName[t.text("name")] = &tag{Name: t.text("name"), Description: t.text("description")}
		p.Tags = append(p.Tags, byName[t.text("name")])
	}
	for _, path := range root.get("paths").pairs() {
		for _, method := range path.node.pairs() {
			o := readOperation(path.name, method.name, method.node)
			for _, name := range method.node.get("tags").items() {
				t, ok := byName[name.Value]
				if !ok {
					return nil, fmt.Errorf("contract: %s %s: no tag %q", method.name, path.name, name.Value)
				}
				t.Operations = append(t.Operations, o)
			}
		}
	}
	for _, s := range root.get("components", "schemas").pairs() {
		p.Schemas = append(p.Schemas, readSchema(s.name, s.node))
	}
	return p, nil
}

func readOperation(path, method string, n node) operation {
	security := n.get("security")
	o := operation{
		ID: n.text("operationId"), Method: strings.ToUpper(method), Path: path,
		Summary: n.text("summary"), Description: n.text("description"),
		Open: security.Kind == yaml.SequenceNode && len(security.Content) == 0,
	}
	for _, p := range n.get("parameters").items() {
		o.Parameters = append(o.Parameters, parameter{
			p.text("name"), p.text("in"), p.text("description"), describe(p.get("schema")), p.text("required") == "true",
		})
	}
	o.Body = readContent(n.get("requestBody", "content"))
	for _, r := range n.get("responses").pairs() {
		described := response{Status: r.name, Description: r.node.text("description"), Content: readContent(r.node.get("content"))}
		for _, h := range r.node.get("headers").pairs() {
			described.Headers = append(described.Headers, h.name)
		}
		o.Responses = append(o.Responses, described)
	}
	return o
}

func readContent(n node) (out []media) {
	for _, m := range n.pairs() {
		s := m.node.get("schema")
		if line := m.node.get("x-line"); line.ref() != "" {
			out = append(out, media{m.name, line.ref(), "lines of "})
			continue
		}
		out = append(out, media{Kind: m.name, Schema: s.ref()})
		if s.ref() == "" {
			out[len(out)-1].Type = describe(s)
		}
	}
	return out
}

func readSchema(name string, n node) schema {
	s := schema{Name: name, Description: n.text("description"), Type: describe(n)}
	required := texts(n.get("required"))
	add := func(from node) {
		for _, m := range from.get("properties").pairs() {
			if m.node.Value == "false" {
				continue // a member that is not allowed
			}
			described := m.node.text("description")
			if own := ownText(m.node, "description"); own != "" {
				described = own
			}
			s.Members = append(s.Members, member{m.name, describe(m.node), link(m.node), described, slices.Contains(required, m.name)})
		}
	}
	for _, part := range n.get("allOf").items() {
		required = append(required, texts(part.get("required"))...)
		add(part)
	}
	add(n)
	if examples := n.get("examples").items(); len(examples) > 0 && n.text("type") != "string" {
		s.Example = exampleText(examples[0])
	}
	return s
}

// ownText returns a member next to a reference, which it does not follow.
func ownText(n node, name string) string {
	for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1].Value
		}
	}
	return ""
}

func texts(n node) (out []string) {
	for _, item := range n.items() {
		out = append(out, item.Value)
	}
	return out
}

// link returns the schema of a member, or of its items.
func link(n node) string {
	if ref := n.ref(); ref != "" {
		return ref
	}
	if ref := n.get("items").ref(); ref != "" {
		return ref
	}
	return ownRef(n, "additionalProperties")
}

func ownRef(n node, name string) string {
	if m := n.get(name); m.Node != nil {
		return m.ref()
	}
	return ""
}

// describe summarizes a schema in one line.
func describe(n node) string {
	t := n.target()
	if values := t.get("enum"); len(values.Content) > 0 {
		words := strings.Join(texts(values), " | ")
		if standard := n.text("default"); standard != "" {
			words += ", default " + standard
		}
		return words
	}
	if c := t.get("const"); c.Value != "" {
		return c.Value
	}
	kind := t.get("type")
	words, limits := kind.Value, ""
	if len(kind.Content) > 0 {
		words = strings.Join(texts(kind), " or ")
	}
	if alternatives := append(t.get("oneOf").items(), t.get("anyOf").items()...); len(alternatives) > 0 && words != "object" {
		var all []string
		for _, a := range alternatives {
			all = append(all, describe(a))
		}
		words = strings.Join(all, " or ")
	}
	if items := t.get("items"); len(items.Content) > 0 {
		words = strings.Replace(words, "array", "array of "+describe(items), 1)
	}
	if words == "" {
		words = "object"
	}
	for _, limit := range []struct{ keyword, format string }{
		{"format", ", %s"},
		{"minLength", ", from %s"},
		{"maxLength", " to %s characters"},
		{"minimum", ", from %s"},
		{"exclusiveMinimum", ", more than %s"},
		{"maximum", " to %s"},
		{"minItems", ", at least %s"},
		{"maxItems", ", at most %s"},
		{"maxProperties", ", at most %s"},
		{"default", ", default %s"},
	} {
		if v := t.text(limit.keyword); v != "" {
			limits = fmt.Sprintf("%s"+limit.format, limits, v)
		}
	}
	return words + limits
}

func exampleText(n node) string {
	var v any
	if err := n.Decode(&v); err != nil {
		return ""
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return ""
	}
	return string(text)
}

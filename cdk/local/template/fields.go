package template

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// fields reads the properties of one resource. It stores the first error.
type fields struct {
	r     *resolver
	id    ID
	props map[string]any
	err   error
}

func newFields(r *resolver, logicalID string) *fields {
	return &fields{
		r: r, id: ID{Stack: r.stack.name, LogicalID: logicalID},
		props: r.stack.template.Resources[logicalID].Properties,
	}
}

func (f *fields) fail(path string, err error) {
	if f.err == nil {
		f.err = fmt.Errorf("%s, %s: %w", f.id, path, err)
	}
}

// get returns the resolved property at a dotted path; nil if it is missing.
func (f *fields) get(path string) any {
	var at any = f.props
	for name := range strings.SplitSeq(path, ".") {
		object, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		x, err := f.r.value(object[name])
		if err != nil {
			f.fail(path, err)
			return nil
		}
		if _, gone := x.(absent); gone {
			return nil
		}
		at = x
	}
	return at
}

func (f *fields) text(path string) string {
	x := f.get(path)
	if x == nil {
		return ""
	}
	s, err := asText(x)
	if err != nil {
		f.fail(path, err)
	}
	return s
}

func (f *fields) number(path string, fallback float64) float64 {
	s := f.text(path)
	if s == "" {
		return fallback
	}
	n, err := json.Number(s).Float64()
	if err != nil {
		f.fail(path, fmt.Errorf("%q is not a number", s))
	}
	return n
}

func (f *fields) integer(path string, fallback int) int {
	return int(f.number(path, float64(fallback)))
}

// seconds reads a number of seconds; -1 stays -1.
func (f *fields) seconds(path string, fallback time.Duration) time.Duration {
	n := f.number(path, fallback.Seconds())
	if n < 0 {
		return -1
	}
	return time.Duration(n * float64(time.Second))
}

func (f *fields) boolean(path string) bool { return f.text(path) == "true" }

func (f *fields) texts(path string) []string {
	x := f.get(path)
	if x == nil {
		return nil
	}
	list, ok := x.([]any)
	if !ok {
		list = []any{x}
	}
	var all []string
	for _, e := range list {
		s, err := asText(e)
		if err != nil {
			f.fail(path, err)
		}
		all = append(all, s)
	}
	return all
}

// textMap reads an object of strings.
func (f *fields) textMap(path string) map[string]string {
	object, _ := f.get(path).(map[string]any)
	all := make(map[string]string, len(object))
	for k, v := range object {
		s, err := asText(v)
		if err != nil {
			f.fail(path+"."+k, err)
		}
		all[k] = s
	}
	return all
}

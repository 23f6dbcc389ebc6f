package template

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// ErrIntrinsic says that an intrinsic function cannot be resolved.
var ErrIntrinsic = errors.New("unresolved intrinsic function")

// absent is the value of AWS::NoValue.
type absent struct{}

// maxDepth limits nesting, which finds circular references; maxSteps limits the work for
// one resource, which references that fan out at each level would multiply.
const (
	maxDepth = 100
	maxSteps = 100_000
)

// resolver resolves the intrinsics of one stack.
type resolver struct {
	all   *stacks
	stack *stack
	depth int
	steps *int
}

func newResolver(all *stacks, s *stack) *resolver {
	return &resolver{all: all, stack: s, steps: new(int)}
}

// enter counts one more level; leave must follow.
func (r *resolver) enter() error {
	r.depth++
	*r.steps++
	if r.depth > maxDepth || *r.steps > maxSteps {
		return fmt.Errorf("%w: circular, or nested more than %d levels", ErrIntrinsic, maxDepth)
	}
	return nil
}

func (r *resolver) leave() { r.depth-- }

// stacks are those that can import each other's exports.
type stacks struct {
	dir     string // of the assembly
	list    []*stack
	exports map[string]export
}

type export struct {
	stack *stack
	value any
}

func newStacks(list []*stack) (*stacks, error) {
	all := &stacks{list: list, exports: make(map[string]export)}
	for _, s := range list {
		r := newResolver(all, s)
		for id, o := range s.template.Outputs {
			if o.Export.Name == nil {
				continue
			}
			name, err := r.text(o.Export.Name)
			if err != nil {
				return nil, fmt.Errorf("stack %s: export of output %s: %w", s.name, id, err)
			}
			all.exports[name] = export{stack: s, value: o.Value}
		}
	}
	return all, nil
}

// value returns v with every intrinsic replaced by its value.
func (r *resolver) value(v any) (any, error) {
	defer r.leave()
	if err := r.enter(); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case []any:
		list := make([]any, 0, len(v))
		for _, e := range v {
			x, err := r.value(e)
			if err != nil {
				return nil, err
			}
			if _, gone := x.(absent); !gone {
				list = append(list, x)
			}
		}
		return list, nil
	case map[string]any:
		if name, arg, ok := intrinsic(v); ok {
			return r.call(name, arg)
		}
		object := make(map[string]any, len(v))
		for k, e := range v {
			x, err := r.value(e)
			if err != nil {
				return nil, err
			}
			if _, gone := x.(absent); !gone {
				object[k] = x
			}
		}
		return object, nil
	default:
		return v, nil
	}
}

func intrinsic(v map[string]any) (name string, arg any, ok bool) {
	if len(v) != 1 {
		return "", nil, false
	}
	for k, a := range v {
		return k, a, k == "Ref" || strings.HasPrefix(k, "Fn::")
	}
	return "", nil, false
}

func (r *resolver) call(name string, arg any) (any, error) {
	switch name {
	case "Ref":
		id, ok := arg.(string)
		if !ok {
			return nil, fmt.Errorf("%w: Ref of %v", ErrIntrinsic, arg)
		}
		return r.ref(id)
	case "Fn::GetAtt":
		return r.getAtt(arg)
	case "Fn::Join":
		return r.join(arg)
	case "Fn::Sub":
		return r.sub(arg)
	case "Fn::Select":
		return r.selectFrom(arg)
	case "Fn::Split":
		return r.split(arg)
	case "Fn::If":
		return r.choose(arg)
	case "Fn::ImportValue":
		return r.importValue(arg)
	case "Fn::FindInMap":
		return r.findInMap(arg)
	case "Fn::Base64":
		s, err := r.text(arg)
		return base64.StdEncoding.EncodeToString([]byte(s)), err
	case "Fn::Equals", "Fn::And", "Fn::Or", "Fn::Not":
		return r.condition(map[string]any{name: arg})
	default:
		return nil, fmt.Errorf("%w %s", ErrIntrinsic, name)
	}
}

// text resolves v to a string.
func (r *resolver) text(v any) (string, error) {
	x, err := r.value(v)
	if err != nil {
		return "", err
	}
	return asText(x)
}

func asText(x any) (string, error) {
	switch x := x.(type) {
	case string:
		return x, nil
	case json.Number:
		return x.String(), nil
	case bool:
		return strconv.FormatBool(x), nil
	default:
		return "", fmt.Errorf("%w: got %T, want a string", ErrIntrinsic, x)
	}
}

// list resolves v to a list of at least n values.
func (r *resolver) list(v any, n int) ([]any, error) {
	x, err := r.value(v)
	if err != nil {
		return nil, err
	}
	l, ok := x.([]any)
	if !ok || len(l) < n {
		return nil, fmt.Errorf("%w: got %v, want a list of %d", ErrIntrinsic, x, n)
	}
	return l, nil
}

func (r *resolver) ref(id string) (any, error) {
	switch id {
	case "AWS::Region":
		return r.stack.region, nil
	case "AWS::AccountId":
		return r.stack.account, nil
	case "AWS::Partition":
		return "aws", nil
	case "AWS::URLSuffix":
		return "amazonaws.com", nil
	case "AWS::StackName":
		return r.stack.name, nil
	case "AWS::StackId":
		return fmt.Sprintf("arn:aws:cloudformation:%s:%s:stack/%s/local", r.stack.region, r.stack.account, r.stack.name), nil
	case "AWS::NoValue":
		return absent{}, nil
	}
	if _, ok := r.stack.template.Parameters[id]; ok {
		return r.parameter(id)
	}
	if _, ok := r.stack.template.Resources[id]; ok {
		return r.physicalID(id)
	}
	return nil, fmt.Errorf("%w: Ref of %s, which is not in the stack", ErrIntrinsic, id)
}

func (r *resolver) getAtt(arg any) (any, error) {
	var id, attribute string
	switch a := arg.(type) {
	case string:
		id, attribute, _ = strings.Cut(a, ".")
	case []any:
		l, err := r.list(a, 2)
		if err != nil {
			return nil, err
		}
		id, _ = l[0].(string)
		attribute, _ = l[1].(string)
	}
	if _, ok := r.stack.template.Resources[id]; !ok || attribute == "" {
		return nil, fmt.Errorf("%w: Fn::GetAtt of %v, which is not in the stack", ErrIntrinsic, arg)
	}
	return r.attribute(id, attribute)
}

func (r *resolver) join(arg any) (any, error) {
	l, err := r.list(arg, 2)
	if err != nil {
		return nil, fmt.Errorf("Fn::Join: %w", err)
	}
	separator, err := asText(l[0])
	if err != nil {
		return nil, fmt.Errorf("Fn::Join: %w", err)
	}
	parts, ok := l[1].([]any)
	if !ok {
		return nil, fmt.Errorf("%w: Fn::Join of %v", ErrIntrinsic, l[1])
	}
	texts := make([]string, len(parts))
	for i, p := range parts {
		if texts[i], err = asText(p); err != nil {
			return nil, fmt.Errorf("Fn::Join: %w", err)
		}
	}
	return strings.Join(texts, separator), nil
}

func (r *resolver) selectFrom(arg any) (any, error) {
	l, err := r.list(arg, 2)
	if err != nil {
		return nil, fmt.Errorf("Fn::Select: %w", err)
	}
	text, err := asText(l[0])
	if err != nil {
		return nil, fmt.Errorf("Fn::Select: %w", err)
	}
	i, err := strconv.Atoi(text)
	values, ok := l[1].([]any)
	if err != nil || !ok || i < 0 || i >= len(values) {
		return nil, fmt.Errorf("%w: Fn::Select of %s from %v", ErrIntrinsic, text, l[1])
	}
	return values[i], nil
}

func (r *resolver) split(arg any) (any, error) {
	l, err := r.list(arg, 2)
	if err != nil {
		return nil, fmt.Errorf("Fn::Split: %w", err)
	}
	separator, err1 := asText(l[0])
	text, err2 := asText(l[1])
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("Fn::Split: %w", err)
	}
	var parts []any
	for p := range strings.SplitSeq(text, separator) {
		parts = append(parts, p)
	}
	return parts, nil
}

// placeholders matches ${Name}, ${Name.Attribute} and the escape ${!Literal}.
func placeholders() *regexp.Regexp { return regexp.MustCompile(`\$\{(!?)([^}]*)\}`) }

func (r *resolver) sub(arg any) (any, error) {
	format, values := arg, map[string]any{}
	if l, ok := arg.([]any); ok && len(l) == 2 {
		format = l[0]
		values, _ = l[1].(map[string]any)
	}
	text, ok := format.(string)
	if !ok {
		return nil, fmt.Errorf("%w: Fn::Sub of %v", ErrIntrinsic, format)
	}
	var failed error
	result := placeholders().ReplaceAllStringFunc(text, func(m string) string {
		name := m[2 : len(m)-1]
		if failed != nil {
			return ""
		}
		if strings.HasPrefix(name, "!") {
			return "${" + name[1:] + "}"
		}
		var x any
		var err error
		if v, own := values[name]; own {
			x, err = r.value(v)
		} else if strings.Contains(name, ".") {
			x, err = r.getAtt(name)
		} else {
			x, err = r.ref(name)
		}
		var s string
		if err == nil {
			s, err = asText(x)
		}
		failed = err
		return s
	})
	if failed != nil {
		return nil, fmt.Errorf("Fn::Sub: %w", failed)
	}
	return result, nil
}

func (r *resolver) importValue(arg any) (any, error) {
	name, err := r.text(arg)
	if err != nil {
		return nil, fmt.Errorf("Fn::ImportValue: %w", err)
	}
	e, ok := r.all.exports[name]
	if !ok {
		return nil, fmt.Errorf("%w: no stack exports %q", ErrIntrinsic, name)
	}
	other := &resolver{all: r.all, stack: e.stack, depth: r.depth, steps: r.steps}
	x, err := other.value(e.value)
	if err != nil {
		return nil, fmt.Errorf("export %s of stack %s: %w", name, e.stack.name, err)
	}
	return x, nil
}

func (r *resolver) findInMap(arg any) (any, error) {
	l, err := r.list(arg, 3)
	if err != nil {
		return nil, fmt.Errorf("Fn::FindInMap: %w", err)
	}
	var keys [3]string
	for i := range keys {
		if keys[i], err = asText(l[i]); err != nil {
			return nil, fmt.Errorf("Fn::FindInMap: %w", err)
		}
	}
	x, ok := r.stack.template.Mappings[keys[0]][keys[1]][keys[2]]
	if !ok {
		return nil, fmt.Errorf("%w: Fn::FindInMap of %v", ErrIntrinsic, keys)
	}
	return x, nil
}

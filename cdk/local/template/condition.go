package template

import "fmt"

// choose is Fn::If. It resolves only the chosen branch.
func (r *resolver) choose(arg any) (any, error) {
	l, ok := arg.([]any)
	if !ok || len(l) != 3 {
		return nil, fmt.Errorf("%w: Fn::If of %v", ErrIntrinsic, arg)
	}
	name, _ := l[0].(string)
	holds, err := r.named(name)
	if err != nil {
		return nil, err
	}
	if holds {
		return r.value(l[1])
	}
	return r.value(l[2])
}

// named evaluates a condition of the stack. An empty name is true.
func (r *resolver) named(name string) (bool, error) {
	if name == "" {
		return true, nil
	}
	c, ok := r.stack.template.Conditions[name]
	if !ok {
		return false, fmt.Errorf("%w: the stack has no condition %s", ErrIntrinsic, name)
	}
	return r.condition(c)
}

func (r *resolver) condition(c any) (bool, error) {
	defer r.leave()
	if err := r.enter(); err != nil {
		return false, err
	}
	m, ok := c.(map[string]any)
	if !ok || len(m) != 1 {
		return false, fmt.Errorf("%w: condition %v", ErrIntrinsic, c)
	}
	for name, arg := range m {
		if name == "Condition" {
			other, _ := arg.(string)
			return r.named(other)
		}
		operands, _ := arg.([]any)
		switch name {
		case "Fn::Equals":
			return r.equal(operands)
		case "Fn::Not":
			if len(operands) == 1 {
				holds, err := r.condition(operands[0])
				return !holds, err
			}
		case "Fn::And", "Fn::Or":
			return r.combine(operands, name == "Fn::Or")
		}
	}
	return false, fmt.Errorf("%w: condition %v", ErrIntrinsic, c)
}

func (r *resolver) equal(operands []any) (bool, error) {
	if len(operands) != 2 {
		return false, fmt.Errorf("%w: Fn::Equals of %v", ErrIntrinsic, operands)
	}
	a, err := r.text(operands[0])
	if err != nil {
		return false, err
	}
	b, err := r.text(operands[1])
	return a == b, err
}

// combine is Fn::Or when decisive is true, and Fn::And when it is false.
func (r *resolver) combine(operands []any, decisive bool) (bool, error) {
	for _, o := range operands {
		holds, err := r.condition(o)
		if err != nil || holds == decisive {
			return holds, err
		}
	}
	return !decisive, nil
}

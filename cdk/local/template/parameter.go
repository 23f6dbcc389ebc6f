package template

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// parameterType is a value that one stack publishes and others read when they are
// deployed.
const parameterType = "AWS::SSM::Parameter"

// parameter is Ref of a parameter of the template: its default, or, when the default is the
// name of a parameter in Parameter Store that one of the stacks publishes, the value there.
func (r *resolver) parameter(id string) (any, error) {
	p := r.stack.template.Parameters[id]
	if p.Default == nil {
		return nil, fmt.Errorf("%w: parameter %s has no default", ErrIntrinsic, id)
	}
	kind, stored := strings.CutPrefix(p.Type, parameterType+"::Value<")
	if !stored {
		return p.Default, nil
	}
	for _, s := range r.all.list {
		for _, resource := range slices.Sorted(maps.Keys(s.template.Resources)) {
			found := s.template.Resources[resource]
			if found.Type != parameterType || found.Properties["Name"] != p.Default {
				continue
			}
			other := &resolver{all: r.all, stack: s, depth: r.depth, steps: r.steps}
			value, err := other.text(found.Properties["Value"])
			if err != nil {
				return nil, fmt.Errorf("parameter %v of stack %s: %w", p.Default, s.name, err)
			}
			if !strings.HasPrefix(kind, "List<") {
				return value, nil
			}
			var list []any
			for element := range strings.SplitSeq(value, ",") {
				list = append(list, element)
			}
			return list, nil
		}
	}
	return p.Default, nil // one of AWS's own, such as the newest machine image
}

package apifuzz

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Bodies sends to each operation its valid body without each member that the contract
// requires, and with null in place of each member that is not described as null. It returns
// the number of bodies, and those that were not rejected with the member's name, or that
// changed something.
func Bodies(ctx context.Context, cfg Config) (n int, wrong []Combination, err error) {
	f, err := newFuzzer(cfg)
	if err != nil {
		return 0, nil, err
	}
	for _, o := range f.contract.operations {
		if o.body == nil || o.form || o.id == "sendTelemetry" { // its members are those of events
			continue
		}
		names, schemas := f.contract.members(o.body)
		for _, name := range names {
			if slices.Contains(list(o.body["required"]), any(name)) {
				n++
				wrong = append(wrong, f.body(ctx, o, name, "without", nil)...)
			}
			if !nullable(schemas[name]) {
				n++
				wrong = append(wrong, f.body(ctx, o, name, "null", json.RawMessage("null"))...)
			}
		}
	}
	return n, wrong, nil
}

func nullable(schema object) bool {
	return slices.Contains(list(schema["type"]), any("null")) || len(schema) == 0
}

// body sends a body without a member, or with a value in its place.
func (f *fuzzer) body(ctx context.Context, o operation, name, how string, value any) []Combination {
	s := &sampler{contract: f.contract, world: f.World, now: f.Now()}
	members := s.body(o)
	if delete(members, name); value != nil {
		members[name] = value
	}
	r := f.plain(o, f.World, callerOf(o))
	r.Body, _ = json.Marshal(members) // of plain values
	before := f.state(ctx, o, s)
	got, err := f.Target.Do(ctx, r)
	after := f.state(ctx, o, s)
	text := fmt.Sprintf("%d %.200s", got.Status, got.Body)
	if err == nil && (got.Status == 400 || got.Status == 422) && strings.Contains(string(got.Body), name) && before == after {
		return nil
	}
	if before != after {
		text += ", and it has changed something"
	}
	return []Combination{{o.String(), callerOf(o), how + " " + name, "400 or 422 with its name", text}}
}

package apifuzz

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"time"
)

// World has what valid requests name: objects that exist, and secrets. All fields but Site
// may be empty: requests then name what does not exist.
type World struct {
	Site, Gateway, Device, Metric, User, Rule, Anomaly, Key string
	// Elsewhere is another site, of which the callers elsewhere are.
	Elsewhere string
	// Unique makes names of this run different from those of others.
	Unique string
}

// path returns the value of a parameter of the path.
func (w World) path(name string) string {
	const nobody = "00000000-0000-4000-8000-000000000000"
	values := map[string]string{
		"site": w.Site, "gateway": w.Gateway, "device": w.Device, "metric": w.Metric, "user": w.User, "rule": w.Rule,
		"anomaly": w.Anomaly, "key": w.Key,
	}
	if v := values[name]; v != "" {
		return v
	}
	switch name {
	case "user", "rule":
		return nobody
	case "anomaly":
		return "1"
	case "key":
		return base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	default:
		return "none"
	}
}

// sampler makes valid values. n counts the names that it made up.
type sampler struct {
	contract *contract
	world    World
	now      time.Time
	n        int
}

// value returns a valid value of a member or parameter.
func (s *sampler) value(operation, name string, schema object, example any) any {
	switch {
	case name == "name" && operation == "createUser", name == "name" && (operation == "createSite" || operation == "registerGateway"):
		s.n++
		return fmt.Sprintf("fuzz-%s-%d", s.world.Unique, s.n)
	case name == "gateway":
		return s.world.path("gateway")
	case name == "device":
		return s.world.path("device")
	case name == "metric":
		return s.world.path("metric")
	case name == "key":
		return publicKey()
	case name == "from":
		return s.now.Add(-time.Hour).UTC().Format(time.RFC3339)
	case name == "to":
		return s.now.UTC().Format(time.RFC3339)
	case name == "time":
		return s.now.Add(-time.Second).UTC().Format(time.RFC3339)
	case name == "grants":
		return object{s.world.Site: "viewer"}
	case name == "password" && operation != "login":
		return "violet kettle drum 7 " + s.world.Unique
	case example != nil:
		return example
	}
	return s.bySchema(operation, schema)
}

func (s *sampler) bySchema(operation string, schema object) any {
	if v, ok := schema["const"]; ok {
		return v
	}
	if v, ok := schema["default"]; ok {
		return v
	}
	if all := list(schema["examples"]); len(all) > 0 {
		return all[0]
	}
	if all := list(schema["enum"]); len(all) > 0 {
		return all[0]
	}
	for _, choice := range []string{"anyOf", "oneOf"} {
		if all := list(schema[choice]); len(all) > 0 {
			return s.bySchema(operation, s.contract.resolve(all[0]))
		}
	}
	switch typeOf(schema) {
	case "object":
		return s.object(operation, schema)
	case "array":
		return []any{s.bySchema(operation, s.contract.resolve(schema["items"]))}
	case "integer", "number":
		return 1
	case "boolean":
		return false
	default:
		return "x"
	}
}

// object returns an object with every member.
func (s *sampler) object(operation string, schema object) object {
	out := make(object)
	names, schemas := s.contract.members(schema)
	for _, name := range names {
		out[name] = s.value(operation, name, schemas[name], nil)
	}
	return out
}

// body returns a valid body of an operation.
func (s *sampler) body(o operation) object {
	out := s.object(o.id, o.body)
	switch o.id {
	case "createAlarmRule", "changeAlarmRule":
		return object{
			"gateway": s.world.path("gateway"), "device": s.world.path("device"), "metric": s.world.path("metric"), "kind": "threshold",
			"low": nil, "high": 1e6, "hysteresis": 2, "per_second": nil, "min_interval_seconds": 0, "silence_seconds": 0,
			"ignore_bad": false, "severity": "critical", "enabled": true,
		}
	case "setKPIConfig":
		return s.kpiConfig()
	case "sendTelemetry":
		return object{"events": []any{object{
			"device": s.world.path("device"), "metric": s.world.path("metric"), "time": s.now.UnixMicro(), "value": 71.25,
			"quality": "good",
		}}}
	case "createExport":
		delete(out, "dialect")
		out["format"] = "csv"
	case "addClientReport":
		out["message"], out["detail"] = "it broke", object{"line": 7}
	}
	return out
}

// kpiConfig returns a KPI configuration.
func (s *sampler) kpiConfig() object {
	return object{
		"state_metric": "state", "count_metric": "count", "good_metric": "", "assume_good": false,
		"states":              object{"1": object{"element": "production"}, "7": object{"element": "down", "reason": "jam"}},
		"ideal_cycle_seconds": 1.5,
		"counter_modulus":     65536, "stale_after_seconds": 30, "planned": object{"mon": []any{[]any{"06:00", "14:00"}}},
	}
}

// typeOf returns the first type of a schema.
func typeOf(schema object) string {
	if all := list(schema["type"]); len(all) > 0 {
		name, _ := all[0].(string)
		return name
	}
	name, _ := schema["type"].(string)
	if name == "" && schema["properties"] != nil {
		return "object"
	}
	return name
}

// publicKey returns a new public key as JWK.
func publicKey() object {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return object{}
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return object{}
	}
	encode := base64.RawURLEncoding.EncodeToString
	return object{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
}

// queryOf returns the valid query of an operation: its required parameters, and the others
// with some of them.
func (s *sampler) queryOf(o operation, others func() bool) [][2]string {
	var out [][2]string
	for _, name := range slices.Sorted(keys(o.query)) {
		p := o.query[name]
		if name == "cursor" || name == "after" || !p.required && !others() {
			continue
		}
		out = append(out, [2]string{name, fmt.Sprint(s.value(o.id, name, p.schema, p.example))})
	}
	return out
}

package main

import (
	"encoding/json"
	"maps"
)

// whole returns the members of body with those of defaults that it has not: the body of a
// PUT, which has every member. Anything that is no object is returned as it is.
func whole(defaults, body string) string {
	var all, some map[string]json.RawMessage
	if json.Unmarshal([]byte(defaults), &all) != nil || json.Unmarshal([]byte(body), &some) != nil {
		return body
	}
	maps.Copy(all, some)
	raw, err := json.Marshal(all)
	if err != nil {
		return body
	}
	return string(raw)
}

// machine returns a KPI configuration with the members of body.
func machine(body string) string {
	return whole(`{"state_metric":"","count_metric":"","good_metric":"","assume_good":false,"states":{},"ideal_cycle_seconds":0,
		"counter_modulus":0,"stale_after_seconds":30,"planned":null}`, body)
}

// wholeRule returns an alarm rule with the members of body.
func wholeRule(body string) string {
	return whole(`{"low":null,"high":null,"hysteresis":0,"per_second":null,"min_interval_seconds":0,"silence_seconds":0,
		"ignore_bad":false,"severity":"warning","enabled":true}`, body)
}

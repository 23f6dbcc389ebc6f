package timescale

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The functions that use the database. Each logs in with a role of its own.
const (
	FunctionAPI      = "api"
	FunctionAccess   = "access"
	FunctionStore    = "store"
	FunctionBridge   = "bridge"
	FunctionDetect   = "detect"
	FunctionRefusals = "refusals"
	FunctionRollup   = "rollup"
)

// tableGrants says what the role of each function may do with each table: privileges,
// separated by commas, some with the only columns that they are for. It is the one place
// for grants: GrantRoles grants what is here and revokes everything else. A statement with
// FOR UPDATE or FOR SHARE needs UPDATE; with WHERE or RETURNING it needs SELECT. The
// migrations' tables that no function uses are here too, with nothing.
func tableGrants() map[string]map[string]string {
	type of = map[string]string
	return map[string]of{
		"access_record": {
			FunctionAPI:    "SELECT, INSERT, UPDATE(count first last request_id selected_from selected_to)",
			FunctionRollup: "SELECT, DELETE",
		},
		"account":       {FunctionAPI: "SELECT, INSERT, UPDATE", FunctionAccess: "SELECT, UPDATE(password)"},
		"account_grant": {FunctionAPI: "SELECT, INSERT, DELETE", FunctionAccess: "SELECT"},
		"alarm_rule":    {FunctionAPI: "SELECT, INSERT, UPDATE, DELETE", FunctionDetect: "SELECT"},
		"anomaly":       {FunctionAPI: "SELECT, UPDATE, DELETE", FunctionDetect: "SELECT, INSERT, UPDATE"},
		// Comments are deleted with their device.
		"anomaly_comment": {FunctionAPI: "SELECT, INSERT, DELETE"},
		"assertion":       {FunctionAccess: "SELECT, INSERT, DELETE"},
		"client_report":   {FunctionAPI: "SELECT, INSERT, DELETE"},
		"conflict":        {FunctionStore: "SELECT, INSERT", FunctionAPI: "SELECT", FunctionRollup: "SELECT, DELETE"},
		"conflict_hour":   {FunctionStore: "SELECT, INSERT, UPDATE", FunctionAPI: "SELECT", FunctionRollup: "SELECT, DELETE"},
		"database_choice": {FunctionRollup: "SELECT"},
		// UPDATE is for FOR UPDATE, which the deletion of expired rows uses.
		"denial": {
			FunctionAPI: "SELECT, INSERT, UPDATE(expires_at), DELETE", FunctionAccess: "SELECT, INSERT, UPDATE(expires_at), DELETE",
			FunctionRollup: "SELECT, UPDATE(expires_at), DELETE",
		},
		"deleted_name": {
			FunctionAPI: "INSERT", FunctionStore: "SELECT", FunctionDetect: "SELECT", FunctionRollup: "SELECT, DELETE",
		},
		"device": {
			FunctionAPI: "SELECT, UPDATE, DELETE", FunctionStore: "SELECT, INSERT, UPDATE", FunctionDetect: "SELECT, INSERT, UPDATE",
			FunctionRollup: "SELECT",
		},
		"device_kpi": {FunctionAPI: "SELECT, INSERT, UPDATE, DELETE", FunctionBridge: "SELECT", FunctionDetect: "SELECT"},
		"event":      {FunctionStore: "SELECT, INSERT", FunctionAPI: "SELECT", FunctionRollup: "SELECT, DELETE"},
		"event_hour": {FunctionAPI: "SELECT", FunctionRollup: "SELECT, INSERT, DELETE"},
		"event_minute": {
			FunctionAPI: "SELECT", FunctionRollup: "SELECT, INSERT, DELETE",
		},
		"gateway": {
			FunctionAPI: "SELECT, INSERT, UPDATE", FunctionAccess: "SELECT", FunctionStore: "SELECT, INSERT, UPDATE",
			FunctionDetect: "SELECT, INSERT, UPDATE", FunctionBridge: "SELECT", FunctionRollup: "SELECT",
		},
		"gateway_key": {FunctionAPI: "SELECT, INSERT, UPDATE", FunctionAccess: "SELECT"},
		"idempotency": {FunctionAPI: "SELECT, INSERT, UPDATE, DELETE"},
		// Both functions verify passwords.
		"login_attempt": {FunctionAccess: "SELECT, INSERT, UPDATE, DELETE", FunctionAPI: "SELECT, INSERT, UPDATE, DELETE"},
		"login_source":  {FunctionAccess: "SELECT, INSERT, UPDATE, DELETE", FunctionAPI: "SELECT, INSERT, UPDATE, DELETE"},
		"metric": {
			FunctionAPI: "SELECT, UPDATE, DELETE", FunctionStore: "SELECT, INSERT, UPDATE", FunctionDetect: "SELECT, INSERT, UPDATE",
			FunctionRollup: "SELECT",
		},
		// A view, for people: it reads with the rights of its owner.
		"reading": {},
		"refresh_token": {
			FunctionAccess: "SELECT, INSERT, UPDATE, DELETE", FunctionAPI: "SELECT(account_id revoked_at), UPDATE(revoked_at)",
		},
		"rollup_stale":     {FunctionStore: "INSERT", FunctionAPI: "SELECT", FunctionRollup: "SELECT, DELETE"},
		"rollup_watermark": {FunctionAPI: "SELECT", FunctionRollup: "SELECT, UPDATE"},
		"schema_version":   {},
		"series":           {FunctionStore: "INSERT", FunctionAPI: "SELECT", FunctionRollup: "SELECT, DELETE"},
		"site":             {FunctionAPI: "SELECT, INSERT, UPDATE"},
		// The trail is append-only for everybody, and only trail_seal inserts into the chain.
		"trail":            {FunctionAPI: "SELECT", FunctionRollup: "SELECT"},
		"trail_archive":    {FunctionAPI: "SELECT", FunctionRollup: "SELECT"},
		"trail_delivery":   {FunctionAPI: "INSERT", FunctionAccess: "INSERT", FunctionRefusals: "INSERT"},
		"trail_pending":    {FunctionAPI: "INSERT", FunctionAccess: "INSERT", FunctionRollup: "SELECT"},
		"trail_sum":        {FunctionAPI: "INSERT", FunctionAccess: "INSERT", FunctionRefusals: "INSERT"},
		"trail_sum_action": {},
	}
}

// functionGrants says which roles may execute which of the functions that run with the
// rights of the owner.
func functionGrants() map[string][]string {
	return map[string][]string{
		"public.retention_drop_chunks(text, timestamp with time zone)": {FunctionRollup},
		"public.retention_set_policy(text, integer, boolean)":          {FunctionRollup},
		"public.trail_archived(bigint, bigint, bytea, text)":           {FunctionRollup},
		"public.trail_forget_deliveries()":                             {FunctionRollup},
		"public.trail_seal(integer)":                                   {FunctionAPI, FunctionRollup},
		// Locks of lists and of counters of attempts, and of the roll-up. The session's are nobody's.
		"pg_catalog.pg_advisory_xact_lock(bigint)":     {FunctionAPI, FunctionAccess},
		"pg_catalog.pg_try_advisory_xact_lock(bigint)": {FunctionRollup},
	}
}

// roleSettings are the limits of a role's sessions: what a client that sets none gets.
// The functions' pools set shorter ones where they need them.
func roleSettings(function string) map[string]string {
	timeout := map[string]time.Duration{FunctionAccess: 5 * time.Second, FunctionAPI: 10 * time.Second}[function]
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	return map[string]string{
		// pg_temp last: otherwise a temporary table precedes one of the platform.
		"search_path":                         "public, pg_temp",
		"statement_timeout":                   milliseconds(timeout),
		"idle_in_transaction_session_timeout": milliseconds(time.Minute),
		"lock_timeout":                        milliseconds(10 * time.Second),
	}
}

// Functions returns the names of the functions that have a role, sorted.
func Functions() []string {
	names := make(map[string]bool)
	for _, of := range tableGrants() {
		for function := range of {
			names[function] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// privilege is a privilege for a table, or for one column of it.
type privilege struct{ table, column, kind string }

// on returns the privilege as in GRANT and REVOKE: SELECT(seq) ON public.trail.
func (p privilege) on() string {
	if p.column == "" {
		return p.kind + " ON public." + p.table
	}
	return p.kind + "(" + p.column + ") ON public." + p.table
}

// privilegesOf returns what the role of a function may do.
func privilegesOf(function string) (all []privilege, err error) {
	for _, table := range slices.Sorted(maps.Keys(tableGrants())) {
		for one := range strings.SplitSeq(tableGrants()[table][function], ",") {
			kind, columns, some := strings.Cut(strings.TrimSpace(one), "(")
			switch {
			case one == "":
			case !some:
				all = append(all, privilege{table: table, kind: kind})
			case !strings.HasSuffix(columns, ")"):
				return nil, fmt.Errorf("grants of %s: %q: want a privilege, with columns or not, such as SELECT(seq hash)", table, one)
			default:
				for column := range strings.FieldsSeq(strings.TrimSuffix(columns, ")")) {
					all = append(all, privilege{table, column, kind})
				}
			}
		}
	}
	return all, nil
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// roleSettings are the secrets of the functions' roles and the limits of their connections,
// both by function.
type roleSettings struct {
	secretARNs  map[string]string
	connections map[string]int
}

// roleVariable names the variable with the ARN of the secret of a function's role:
// ROLE_API_SECRET_ARN.
func roleVariable(function string) string { return "ROLE_" + strings.ToUpper(function) + "_SECRET_ARN" }

func parseRoles(env *lambdahost.Env) roleSettings {
	s := roleSettings{secretARNs: make(map[string]string)}
	some := false
	for _, function := range timescale.Functions() {
		some = some || env.Optional(roleVariable(function), "") != ""
	}
	if !some {
		return s // as before there were roles: the functions share the owner's secret
	}
	for _, function := range timescale.Functions() {
		s.secretARNs[function] = env.Required(roleVariable(function))
	}
	if raw := env.Optional("ROLE_CONNECTIONS", ""); raw != "" {
		if err := json.Unmarshal([]byte(raw), &s.connections); err != nil {
			env.Add(fmt.Errorf(`ROLE_CONNECTIONS: %w: want an object of numbers such as {"api":20}`, telemetry.ErrInvalid))
		}
	}
	for function, n := range s.connections {
		if s.secretARNs[function] == "" || n < 1 {
			env.Add(fmt.Errorf("ROLE_CONNECTIONS: %w: %q: %d: want functions with a role, and numbers from 1",
				telemetry.ErrInvalid, function, n))
		}
	}
	return s
}

// vault reads and replaces secrets.
type vault interface {
	timescale.Secrets
	Put(ctx context.Context, arn string, value []byte) error
}

// provideRoles creates the functions' roles with the passwords of their secrets, completes
// the secrets with the database's address and certificates, and logs in as each role: a
// deployment fails here rather than its functions later.
func provideRoles(ctx context.Context, owner *timescale.Pool, secrets vault, databaseARN string, s roleSettings, log *slog.Logger) error {
	if len(s.secretARNs) == 0 {
		log.WarnContext(ctx, "no secrets of database roles: the functions have all rights of the owner")
		return nil
	}
	database, err := secrets.Get(ctx, databaseARN)
	if err != nil {
		return err
	}
	var roles []timescale.Role
	completed := make(map[string][]byte)
	for _, function := range timescale.Functions() {
		arn := s.secretARNs[function]
		own, err := secrets.Get(ctx, arn)
		if err != nil {
			return err
		}
		value, name, password, err := timescale.CompleteSecret(database, own)
		if err != nil {
			return fmt.Errorf("%s: %w", roleVariable(function), err)
		}
		roles = append(roles, timescale.Role{Function: function, Name: name, Password: password, Connections: s.connections[function]})
		if !bytes.Equal(value, own) {
			completed[arn] = value
		}
	}
	if err := timescale.GrantRoles(ctx, owner, roles); err != nil {
		return err
	}
	for arn, value := range completed {
		if err := secrets.Put(ctx, arn, value); err != nil {
			return err
		}
	}
	for _, r := range roles {
		if err := logIn(ctx, secrets, s.secretARNs[r.Function]); err != nil {
			return fmt.Errorf("log in as %s: %w", r.Name, err)
		}
	}
	log.InfoContext(ctx, "granted the roles", "roles", len(roles), "secrets completed", len(completed))
	return nil
}

// logIn connects as a function does.
func logIn(ctx context.Context, secrets timescale.Secrets, arn string) error {
	pool, err := timescale.OpenSecret(ctx, secrets, arn, timescale.PoolConfig{
		Application: "insighthub-migrate", MaxConnections: 1, MaxAttempts: 3,
	})
	if err != nil {
		return err
	}
	defer pool.Close()
	return pool.Ping(ctx)
}

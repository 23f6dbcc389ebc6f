package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

type fakeVault map[string]string

func (v fakeVault) Get(_ context.Context, arn string) ([]byte, error) {
	if value, ok := v[arn]; ok {
		return []byte(value), nil
	}
	return nil, telemetry.ErrNotFound
}

func (v fakeVault) Put(_ context.Context, arn string, value []byte) error {
	v[arn] = string(value)
	return nil
}

// TestProvideRoles: the functions can log in with their secrets after a deployment, and a
// second one changes no secret; a new password in a secret is the role's after the next.
func TestProvideRoles(t *testing.T) {
	owner, dsn := timescaletest.Open(t)
	secrets := fakeVault{"owner": fmt.Sprintf(`{"dsn":%q}`, dsn)}
	s := roleSettings{secretARNs: make(map[string]string), connections: map[string]int{"api": 7}}
	prefix := "test_" + strings.ToLower(rand.Text()) + "_"
	for _, function := range timescale.Functions() {
		s.secretARNs[function] = function
		secrets[function] = fmt.Sprintf(`{"username":%q,"password":%q}`, prefix+function, rand.Text())
		t.Cleanup(func() { pgtest.Exec(t, dsn, "DROP OWNED BY "+prefix+function+"; DROP ROLE "+prefix+function) })
	}
	log := slog.New(slog.DiscardHandler)
	provide := func() {
		t.Helper()
		if err := provideRoles(t.Context(), owner, secrets, "owner", s, log); err != nil {
			t.Fatal(err)
		}
	}
	provide()
	before := fmt.Sprint(secrets)
	provide()
	if after := fmt.Sprint(secrets); after != before {
		t.Errorf("a second deployment changed the secrets:\n%s\n%s", before, after)
	}
	if got := timescaletest.Value(t, dsn, "SELECT rolconnlimit FROM pg_roles WHERE rolname = $1", prefix+"api"); got != "7" {
		t.Errorf("the limit of connections is %s, want 7", got)
	}
	var store map[string]string
	if err := json.Unmarshal([]byte(secrets["store"]), &store); err != nil {
		t.Fatal(err)
	}
	store["password"] = "replaced by an operator"
	changed, _ := json.Marshal(store)
	secrets["store"] = string(changed)
	if _, err := timescale.OpenSecret(t.Context(), secrets, "store", timescale.PoolConfig{MaxAttempts: 1}); err != nil {
		t.Fatal(err)
	}
	provide() // logs in as store with the new password

	delete(secrets, "bridge")
	if err := provideRoles(t.Context(), owner, secrets, "owner", s, log); !errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("a secret is missing: got %v", err)
	}
	secrets["bridge"] = `{"password":"p"}`
	if err := provideRoles(t.Context(), owner, secrets, "owner", s, log); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("a secret without a name: got %v", err)
	}
}

func TestParseRoles(t *testing.T) {
	for raw, want := range map[string]string{
		`{"api":20}`: "", `{"api":0}`: `"api": 0`, `{"clock":1}`: `"clock"`, `20`: "want an object", ``: "",
	} {
		env := lambdahost.NewEnv(func(name string) string {
			if name == "ROLE_CONNECTIONS" {
				return raw
			}
			return "arn"
		})
		parseRoles(env)
		if err := env.Err(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", raw, err, want)
		}
	}
	env := lambdahost.NewEnv(func(name string) string { return map[string]string{"ROLE_API_SECRET_ARN": "arn"}[name] })
	parseRoles(env)
	if err := env.Err(); err == nil || !strings.Contains(err.Error(), "ROLE_DETECT_SECRET_ARN") {
		t.Errorf("got %v, want the missing variables", err)
	}
}

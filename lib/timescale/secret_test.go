package timescale

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestDSNFromSecret(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{
			`{"dsn":"postgres://u@h/d"}`,
			"postgres://u@h/d",
		},
		{
			`{"host":"h","port":5433,"username":"u","password":"p@ss/word","dbname":"d"}`,
			"postgres://u:p%40ss%2Fword@h:5433/d?sslmode=verify-full",
		},
		{
			`{"host":"h","port":"5433","username":"u","password":"","dbname":"d","engine":"postgres"}`,
			"postgres://u:@h:5433/d?sslmode=verify-full",
		},
		{
			`{"host":"::1","username":"u","password":"p"}`,
			"postgres://u:p@[::1]:5432/?sslmode=verify-full",
		},
	} {
		if got, err := DSNFromSecret([]byte(c.value)); err != nil || got != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.value, got, err, c.want)
		}
	}
	for _, value := range []string{
		``, `hidden`, `{}`, `{"host":"h"}`, `{"username":"u","password":"hidden"}`,
		`{"host":"h","username":"u","port":"hidden"}`, `{"password":1}`,
	} {
		if _, err := DSNFromSecret([]byte(value)); !errors.Is(err, telemetry.ErrInvalid) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v, want ErrInvalid without the value", value, err)
		}
	}
}

func FuzzDSNFromSecret(f *testing.F) {
	f.Add([]byte(`{"dsn":"postgres://u@h/d"}`))
	f.Add([]byte(`{"host":"h","port":5433,"username":"u","password":"p","dbname":"d"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		dsn, err := DSNFromSecret(value)
		if err != nil && (!errors.Is(err, telemetry.ErrInvalid) || dsn != "") {
			t.Errorf("%q, %v", dsn, err)
		}
	})
}

type fakeSecrets map[string]string

func (s fakeSecrets) Get(_ context.Context, arn string) ([]byte, error) {
	if v, ok := s[arn]; ok {
		return []byte(v), nil
	}
	return nil, telemetry.ErrNotFound
}

func TestOpenSecret(t *testing.T) {
	secrets := fakeSecrets{"good": `{"dsn":"postgres://u@127.0.0.1/d"}`, "bad": "x"}
	pool, err := OpenSecret(t.Context(), secrets, "good", PoolConfig{})
	if err != nil {
		t.Fatal(err)
	}
	pool.Close()
	for arn, want := range map[string]error{"bad": telemetry.ErrInvalid, "none": telemetry.ErrNotFound} {
		if _, err := OpenSecret(t.Context(), secrets, arn, PoolConfig{}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", arn, err, want)
		}
	}
}

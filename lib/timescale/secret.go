package timescale

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Secrets reads secrets: the address and password of the database.
type Secrets interface {
	// Get returns a secret's value by its ARN or name.
	Get(ctx context.Context, arn string) ([]byte, error)
}

// OpenSecret is Open with the DSN of a secret, see DSNFromSecret.
func OpenSecret(ctx context.Context, secrets Secrets, arn string, config PoolConfig) (*Pool, error) {
	value, err := secrets.Get(ctx, arn)
	if err != nil {
		return nil, fmt.Errorf("database secret: %w", err)
	}
	if config.DSN, err = DSNFromSecret(value); err != nil {
		return nil, fmt.Errorf("database secret: %w", err)
	}
	return Open(ctx, config)
}

// DSNFromSecret reads a connection URL from a secret's value, which is
//
//	{"dsn":"postgres://user:password@host:port/database?sslmode=…"}
//
// or has the form of Amazon RDS, for which TLS is required:
//
//	{"host":"…","port":5432,"username":"…","password":"…","dbname":"…"}
//
// Errors wrap telemetry.ErrInvalid and contain no part of the value.
func DSNFromSecret(value []byte) (string, error) {
	var secret struct {
		DSN      string      `json:"dsn"`
		Host     string      `json:"host"`
		Port     json.Number `json:"port"`
		Username string      `json:"username"`
		Password string      `json:"password"`
		Database string      `json:"dbname"`
	}
	if err := json.Unmarshal(value, &secret); err != nil {
		return "", fmt.Errorf("%w: want a JSON object with dsn, or with host and username", telemetry.ErrInvalid)
	}
	if secret.DSN != "" {
		return secret.DSN, nil
	}
	if secret.Host == "" || secret.Username == "" {
		return "", fmt.Errorf("%w: want dsn, or host and username", telemetry.ErrInvalid)
	}
	port := 5432
	if secret.Port != "" {
		var err error
		if port, err = strconv.Atoi(secret.Port.String()); err != nil {
			return "", fmt.Errorf("%w: port: want a number", telemetry.ErrInvalid)
		}
	}
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(secret.Username, secret.Password),
		Host:     net.JoinHostPort(secret.Host, strconv.Itoa(port)),
		Path:     "/" + secret.Database,
		RawQuery: "sslmode=require",
	}
	return u.String(), nil
}

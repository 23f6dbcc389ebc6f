package timescale

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Secrets reads secrets: the address and password of the database.
type Secrets interface {
	// Get returns a secret's value by its ARN or name.
	Get(ctx context.Context, arn string) ([]byte, error)
}

// OpenSecret is Open with the DSN and the certificates of a secret, see DSNFromSecret. The
// secret is read again when the server rejects the password or shows a certificate of
// another authority: a deployment may just have replaced them.
func OpenSecret(ctx context.Context, secrets Secrets, arn string, config PoolConfig) (*Pool, error) {
	value, err := secrets.Get(ctx, arn)
	if err != nil {
		return nil, fmt.Errorf("database secret: %w", err)
	}
	s, err := parseSecret(value)
	if err == nil {
		config.DSN, err = s.dsn()
	}
	if err != nil {
		return nil, fmt.Errorf("database secret: %w", err)
	}
	config.CA = []byte(s.CA)
	config.reread = &reread{secrets: secrets, arn: arn}
	return Open(ctx, config)
}

// secret is the value of a secret.
type secret struct {
	DSN      string      `json:"dsn,omitempty"`
	Host     string      `json:"host,omitempty"`
	Port     json.Number `json:"port,omitempty"`
	Username string      `json:"username,omitempty"`
	Password string      `json:"password,omitempty"`
	Database string      `json:"dbname,omitempty"`
	CA       string      `json:"ca,omitempty"`
}

func parseSecret(value []byte) (s secret, err error) {
	if err := json.Unmarshal(value, &s); err != nil {
		return secret{}, fmt.Errorf("%w: want a JSON object with dsn, or with host and username", telemetry.ErrInvalid)
	}
	return s, nil
}

// DSNFromSecret reads a connection URL from a secret's value, which is
//
//	{"dsn":"postgres://user:password@host:port/database?sslmode=verify-full"}
//
// or has the form of Amazon RDS, for which TLS with a verified certificate is required
// whatever its sslmode says:
//
//	{"host":"…","port":5432,"username":"…","password":"…","dbname":"…"}
//
// Both may have a member ca: the certificates, in PEM, of the authorities that the server's
// certificate may be of, in place of the system's. Errors wrap telemetry.ErrInvalid and
// contain no part of the value.
func DSNFromSecret(value []byte) (string, error) {
	s, err := parseSecret(value)
	if err != nil {
		return "", err
	}
	return s.dsn()
}

func (s secret) dsn() (string, error) {
	if s.DSN != "" {
		return s.DSN, nil
	}
	if s.Host == "" || s.Username == "" {
		return "", fmt.Errorf("%w: want dsn, or host and username; the secret of a function's role is completed by the function migrate",
			telemetry.ErrInvalid)
	}
	port := 5432
	if s.Port != "" {
		var err error
		if port, err = strconv.Atoi(s.Port.String()); err != nil {
			return "", fmt.Errorf("%w: port: want a number", telemetry.ErrInvalid)
		}
	}
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(s.Username, s.Password),
		Host:     net.JoinHostPort(s.Host, strconv.Itoa(port)),
		Path:     "/" + s.Database,
		RawQuery: "sslmode=verify-full",
	}
	return u.String(), nil
}

// CompleteSecret returns the value of the secret of a function's role: the owner's address
// and certificates with the username and password of the role's secret. Errors are those of
// DSNFromSecret.
func CompleteSecret(owner, role []byte) (value []byte, username, password string, err error) {
	to, err := parseSecret(owner)
	if err == nil {
		_, err = to.dsn()
	}
	if err != nil {
		return nil, "", "", fmt.Errorf("owner's secret: %w", err)
	}
	from, err := parseSecret(role)
	if err != nil || from.Username == "" || from.Password == "" {
		return nil, "", "", fmt.Errorf("%w: role's secret: want a JSON object with username and password", telemetry.ErrInvalid)
	}
	to.Username, to.Password = from.Username, from.Password
	if to.DSN != "" {
		if to.DSN, err = withUser(to.DSN, from.Username, from.Password); err != nil {
			return nil, "", "", fmt.Errorf("owner's secret: %w", err)
		}
	}
	value, err = json.Marshal(to) //nolint:gosec // it is written to a secret
	return value, from.Username, from.Password, err
}

// withUser replaces the user of a DSN in either of libpq's forms.
func withUser(dsn, user, password string) (string, error) {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace
		return fmt.Sprintf("%s user='%s' password='%s'", dsn, quote(user), quote(password)), nil // the last one counts
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", fmt.Errorf("%w: dsn: not a valid URL", telemetry.ErrInvalid)
	}
	u.User = url.UserPassword(user, password)
	return u.String(), nil
}

// rereadAfter is how often a secret is read again at most.
const rereadAfter = 5 * time.Second

// reread reads a secret again after a connection failed because of it.
type reread struct {
	secrets Secrets
	arn     string

	mu     sync.Mutex
	wanted bool
	last   time.Time
	now    *secret // nil: as opened
}

// failed asks for another read.
func (r *reread) failed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted = true
}

// apply reads the secret again if that is due, and sets what it says in a configuration
// for one connection.
func (r *reread) apply(ctx context.Context, config *pgx.ConnConfig, at time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted && at.Sub(r.last) >= rereadAfter {
		r.last = at
		value, err := r.secrets.Get(ctx, r.arn)
		if err != nil {
			return fmt.Errorf("read the database secret again: %w", err)
		}
		s, err := parseSecret(value)
		if err != nil {
			return fmt.Errorf("read the database secret again: %w", err)
		}
		r.wanted, r.now = false, &s
	}
	if r.now == nil {
		return nil
	}
	dsn, err := r.now.dsn()
	if err != nil {
		return err
	}
	parsed, err := parseDSN(dsn, []byte(r.now.CA))
	if err != nil {
		return err
	}
	config.Host, config.Port, config.Database = parsed.ConnConfig.Host, parsed.ConnConfig.Port, parsed.ConnConfig.Database
	config.User, config.Password = parsed.ConnConfig.User, parsed.ConnConfig.Password
	config.TLSConfig, config.Fallbacks = parsed.ConnConfig.TLSConfig, parsed.ConnConfig.Fallbacks
	return nil
}

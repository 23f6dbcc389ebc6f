package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/signaling/hub"
	"github.com/insighthub/insighthub/signaling/relay"
)

// config is what the environment says.
type config struct {
	listen string
	drain  time.Duration
	// issuer, audience, signingKeys and trusted are for tokens; jwks replaces signingKeys.
	issuer, audience, jwks string
	signingKeys            []token.SigningKey
	trusted                []token.TrustedIssuer
	bucket                 string // of the deny list; empty: nothing is denied
	pathStyle              bool
	// ticketKey, turnSecret and redisPassword are secrets.
	ticketKey, turnSecret, redisPassword secret
	redisURL                             string
	stun, turn, origins                  []string
	trustForwarded                       bool
	limits                               hub.Limits
}

// secret is a value, or the ARN of the secret that has it; it may be neither.
type secret struct{ value, arn string }

// usesAWS reports whether a part of the configuration is read from AWS.
func (c *config) usesAWS() bool {
	return len(c.signingKeys) > 0 || c.bucket != "" || c.ticketKey.arn != "" || c.turnSecret.arn != "" || c.redisPassword.arn != ""
}

// parse reads the environment; the error names every problem.
func parse(getenv func(string) string) (config, error) {
	env := lambdahost.NewEnv(getenv)
	c := config{
		listen:         env.Optional("LISTEN", "127.0.0.1:8443"),
		drain:          time.Duration(env.Int("DRAIN_SECONDS", 90, 0, 100)) * time.Second,
		issuer:         strings.TrimSuffix(env.Required("TOKEN_ISSUER"), "/"),
		audience:       env.Optional("TOKEN_AUDIENCE", "insighthub"),
		bucket:         getenv("STATE_BUCKET"),
		pathStyle:      env.Bool("AWS_S3_PATH_STYLE", false),
		redisURL:       getenv("REDIS_URL"),
		origins:        strings.Fields(env.Optional("ORIGINS", "http://localhost:* http://127.0.0.1:*")),
		trustForwarded: env.Bool("TRUST_FORWARDED_FOR", false),
		ticketKey:      secret{getenv("TICKET_KEY"), getenv("TICKET_KEY_ARN")},
		turnSecret:     secret{getenv("TURN_SECRET"), getenv("TURN_SECRET_ARN")},
		redisPassword:  secret{arn: getenv("REDIS_SECRET_ARN")},
		limits: hub.Limits{
			Sessions:   env.Int("MAX_SESSIONS", 25_000, 1, 1_000_000),
			Pending:    env.Int("MAX_PENDING_PER_ADDRESS", 256, 1, 1_000_000),
			PerSubject: env.Int("MAX_SESSIONS_PER_SUBJECT", 32, 1, 1_000_000),
			Rate:       env.Int("MESSAGES_PER_SECOND", 50, 1, 1_000_000),
		},
	}
	if _, _, err := net.SplitHostPort(c.listen); err != nil {
		env.Add(fmt.Errorf("LISTEN: got %q, want host:port", c.listen))
	}
	if keys := getenv("SIGNING_KEYS"); keys != "" {
		var err error
		c.signingKeys, err = token.ParseSigningKeys(keys)
		env.Add(err)
	} else {
		c.jwks = env.Optional("JWKS_URL", c.issuer+"/.well-known/jwks.json")
		env.Add(checkURL("JWKS_URL", c.jwks, "http", "https"))
	}
	var err error
	c.trusted, err = token.ParseTrustedIssuers(env.Optional("TRUSTED_ISSUERS", "[]"))
	env.Add(err)
	env.Add(hub.CheckOrigins(c.origins))
	if c.redisURL != "" {
		env.Add(relay.ParseURL(c.redisURL))
	}
	env.Add(c.checkSecrets())
	c.stun, err = iceURLs("STUN_URLS", getenv("STUN_URLS"), "stun", "stuns")
	env.Add(err)
	c.turn, err = iceURLs("TURN_URLS", getenv("TURN_URLS"), "turn", "turns")
	env.Add(err)
	return c, env.Err()
}

func (c *config) checkSecrets() error {
	var problems []error
	for _, s := range []struct {
		name string
		secret
	}{{"TICKET_KEY", c.ticketKey}, {"TURN_SECRET", c.turnSecret}} {
		if s.value != "" && s.arn != "" {
			problems = append(problems, fmt.Errorf("%s and %s_ARN: set one of them", s.name, s.name))
		}
	}
	if c.ticketKey == (secret{}) {
		if c.redisURL != "" {
			problems = append(problems, errors.New("TICKET_KEY or TICKET_KEY_ARN: not set; tasks that share REDIS_URL need the same key"))
		}
		// Alone, the key may be new with each start: clients then get new sessions.
		c.ticketKey.value = rand.Text()
	} else if v := c.ticketKey.value; v != "" && len(v) < hub.MinTicketKey {
		problems = append(problems, fmt.Errorf("TICKET_KEY: has %d bytes, want at least %d", len(v), hub.MinTicketKey))
	}
	return errors.Join(problems...)
}

func checkURL(name, text string, schemes ...string) error {
	u, err := url.Parse(text)
	if err == nil && u.Host != "" && slices.Contains(schemes, u.Scheme) {
		return nil
	}
	return fmt.Errorf("%s: not an URL with the scheme %s", name, strings.Join(schemes, " or "))
}

// iceURLs splits a list of URLs as RTCIceServer.urls has them (RFC 7064, RFC 7065).
func iceURLs(name, text string, schemes ...string) ([]string, error) {
	all := strings.Fields(text)
	for _, u := range all {
		scheme, rest, _ := strings.Cut(u, ":")
		if (scheme != schemes[0] && scheme != schemes[1]) || rest == "" {
			return nil, fmt.Errorf("%s: got %q, want %s:host[:port] or %s:host[:port]", name, u, schemes[0], schemes[1])
		}
	}
	return all, nil
}

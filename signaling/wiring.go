package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/aws/kms"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/aws/secrets"
	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/signaling/hub"
	"github.com/insighthub/insighthub/signaling/relay"
)

var (
	_ token.KeySource = (*kms.Keys)(nil)
	_ denylist.Tagged = (*s3.Store)(nil)
	_ hub.Verifier    = (*token.Verifier)(nil)
	_ hub.Verifier    = (*remoteKeys)(nil)
	_ hub.Relay       = (*relay.Relay)(nil)
)

// build makes the hub.
func build(ctx context.Context, c config, getenv func(string) string, log *slog.Logger, registry prometheus.Registerer) (*hub.Hub, error) {
	var cloud aws.Config
	if c.usesAWS() {
		var err error
		if cloud, err = awsconfig.LoadTask(getenv); err != nil {
			return nil, err
		}
	}
	if err := c.readSecrets(ctx, cloud); err != nil {
		return nil, err
	}
	verifier, err := newVerifier(c, cloud)
	if err != nil {
		return nil, err
	}
	var denials denylist.Denials = denylist.Nothing{}
	if c.bucket != "" {
		objects, err := s3.New(s3.Config{AWS: cloud, Bucket: c.bucket, PathStyle: c.pathStyle})
		if err != nil {
			return nil, err
		}
		denials, err = denylist.NewReader(denylist.ReaderConfig{Objects: objects, Log: log, Registerer: registry, Now: time.Now})
		if err != nil {
			return nil, err
		}
	}
	return hub.New(hub.Config{
		Verifier: verifier, Denials: denials, TicketKey: []byte(c.ticketKey.value),
		NewRelay: func(events hub.Events) (hub.Relay, error) {
			config := relay.Config{Events: events, Task: rand.Text(), Logger: log, Registerer: registry, Now: time.Now}
			if c.redisURL != "" {
				config.Redis = &relay.Redis{URL: c.redisURL, Password: c.redisPassword.value}
			}
			return relay.New(config)
		},
		ICE:     hub.ICE{STUN: c.stun, TURN: c.turn, Secret: []byte(c.turnSecret.value)},
		Origins: c.origins, TrustForwarded: c.trustForwarded, Limits: c.limits,
		Log: log, Registerer: registry, Now: time.Now, Random: rand.Reader,
	})
}

// readSecrets reads those that are named by an ARN.
func (c *config) readSecrets(ctx context.Context, cloud aws.Config) error {
	const timeout = 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for _, s := range []*secret{&c.ticketKey, &c.turnSecret, &c.redisPassword} {
		if s.arn == "" {
			continue
		}
		value, err := secrets.New(cloud).Get(ctx, s.arn)
		if err != nil {
			return err
		}
		s.value = strings.TrimSpace(string(value))
	}
	return nil
}

func newVerifier(c config, cloud aws.Config) (hub.Verifier, error) {
	v := token.VerifierConfig{
		Issuer: c.issuer, Audience: c.audience, Trusted: c.trusted, HTTP: token.NewHTTPClient(), Now: time.Now,
	}
	if len(c.signingKeys) == 0 {
		return &remoteKeys{url: c.jwks, http: token.NewHTTPClient(), config: v}, nil
	}
	keys, err := token.NewKeySet(token.KeySetConfig{Source: kms.New(cloud), Keys: c.signingKeys, Now: time.Now})
	if err != nil {
		return nil, fmt.Errorf("SIGNING_KEYS: %w", err)
	}
	v.Keys = keys
	return token.NewVerifier(v)
}

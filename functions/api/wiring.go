package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/accessrecord"
	"github.com/insighthub/insighthub/lib/api"
	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/aws/secrets"
	"github.com/insighthub/insighthub/lib/credential"
	"github.com/insighthub/insighthub/lib/denylist"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/namelist"
	"github.com/insighthub/insighthub/lib/prometheus/promquery"
	"github.com/insighthub/insighthub/lib/refusals"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/trail"
)

// build creates the function from its environment.
func build(ctx context.Context, h *lambdahost.Host) (lambdahost.Function, error) {
	database, bucket := h.Env.Required("DATABASE_SECRET_ARN"), h.Env.Required("EXPORT_BUCKET")
	states := h.Env.Optional("STATE_BUCKET", "")
	pathStyle := h.Env.Bool("AWS_S3_PATH_STYLE", false)
	query := promquery.Config{
		URL: h.Env.Required("PROMETHEUS_URL"), SigV4: h.SigV4("PROMETHEUS_SIGV4"), HTTP: awsconfig.NewHTTPClient(), Now: time.Now,
	}
	peers := iceSettings{h.Env.Optional("ICE_STUN", ""), h.Env.Optional("ICE_TURN", ""), h.Env.Optional("TURN_SECRET_ARN", "")}
	connections := h.Env.Int("DATABASE_CONNECTIONS", 1, 1, 8)
	if err := h.Env.Err(); err != nil {
		return lambdahost.Function{}, err
	}
	vault := secrets.New(h.AWS)
	pool, err := timescale.OpenSecret(ctx, vault, database, timescale.ForRequests("insighthub-api", connections, 10*time.Second))
	if err != nil {
		return lambdahost.Function{}, err
	}
	exports, err := s3.New(s3.Config{AWS: h.AWS, Bucket: bucket, PathStyle: pathStyle})
	if err != nil {
		return lambdahost.Function{}, err
	}
	kpis, err := promquery.NewKPIs(query, 3*time.Second)
	if err != nil {
		return lambdahost.Function{}, err
	}
	ice, err := iceServers(ctx, peers, vault)
	if err != nil {
		return lambdahost.Function{}, err
	}
	s := services{files: files{exports}, kpis: kpis, ice: ice}
	if states != "" {
		lists, err := s3.New(s3.Config{AWS: h.AWS, Bucket: states, PathStyle: pathStyle})
		if err != nil {
			return lambdahost.Function{}, err
		}
		s.names = namelist.Publisher{Source: pool, Objects: lists, Now: time.Now}
		s.publisher = denylist.Publisher{Source: pool, Objects: lists}
		s.denials, err = denylist.NewReader(denylist.ReaderConfig{Objects: lists, Log: h.Log, Registerer: h.Registry, Now: time.Now})
		if err != nil {
			return lambdahost.Function{}, err
		}
	}
	recorder, err := accessrecord.New(accessrecord.Config{Store: pool, Log: h.Log, Registerer: h.Registry, Now: time.Now})
	if err != nil {
		return lambdahost.Function{}, err
	}
	collector, err := refusals.New(refusals.Config{
		Publisher: refusals.PublisherFunc(pool.PublishReports), Registerer: h.Registry, Now: time.Now, NewID: rand.Text,
	})
	if err != nil {
		return lambdahost.Function{}, err
	}
	s.recorder, s.refusals = recorder, collector
	return lambdahost.Function{
		Handler: collector.Observe(wire(pool, h.Log, s)), Close: pool.Close,
		Shutdown: func(ctx context.Context) {
			var both sync.WaitGroup // each takes up to 250 ms
			both.Go(func() { recorder.Shutdown(ctx) })
			both.Go(func() { collector.Shutdown(ctx) })
			both.Wait()
		},
	}, nil
}

// services are the function's dependencies other than the database.
type services struct {
	files api.Files
	kpis  api.KPIs
	ice   api.ICE
	names api.Names
	// publisher writes the deny list, denials reads it.
	publisher api.Denials
	denials   denylist.Denials
	recorder  api.Recorder
	refusals  trail.Counter
}

// wire creates the Lambda handler.
func wire(pool *timescale.Pool, log *slog.Logger, s services) lambda.Handler {
	config := lambdahttp.Config{Handler: resources(pool, log, s), Now: time.Now, Denials: s.denials}
	if s.refusals != nil {
		config.Revoked = func(caller *lambdahttp.Caller, info lambdahttp.Info) {
			s.refusals.Count(trail.Occurrence{
				Action: trail.RefusedAccess, Reason: "token revoked", Source: info.SourceIP, Subject: caller.Subject,
			})
		}
	}
	return lambdahttp.New(config)
}

// resources creates the HTTP handler.
func resources(pool *timescale.Pool, log *slog.Logger, s services) *api.Handler {
	return api.New(api.Config{
		Log: log, Now: time.Now, Random: rand.Reader,
		Idempotency: pool, Sites: pool, Gateways: pool, GatewayKeys: pool, Devices: pool, Metrics: pool, Accounts: pool,
		Passwords: credential.New(credential.Config{Attempts: pool, Trail: pool, Failures: s.refusals, Now: time.Now}),
		Names:     s.names, Denials: s.publisher,
		Accesses: pool, Recorder: s.recorder, Refusals: s.refusals,
		KPIConfigs: pool, Audit: pool, Readings: pool, Exports: pool, Files: s.files, KPIs: s.kpis,
		Anomalies: pool, AlarmRules: pool, ClientReports: pool, ICE: s.ice,
	})
}

// iceSettings are the variables ICE_STUN, ICE_TURN and TURN_SECRET_ARN.
type iceSettings struct{ stun, turn, secretARN string }

// iceServers parses the STUN and TURN servers of WebRTC peers, and reads the secret that
// the platform shares with the TURN servers.
func iceServers(ctx context.Context, s iceSettings, store *secrets.Store) (ice api.ICE, err error) {
	ice.STUN, ice.TURN = strings.Fields(s.stun), strings.Fields(s.turn)
	schemes := []string{"stun", "stuns", "turn", "turns"}
	var problems []error
	for _, address := range slices.Concat(ice.STUN, ice.TURN) {
		if scheme, rest, _ := strings.Cut(address, ":"); !slices.Contains(schemes, scheme) || rest == "" {
			problems = append(problems, fmt.Errorf("ICE_STUN, ICE_TURN: %q is not an address such as turn:turn.example.com:3478", address))
		}
	}
	if (len(ice.TURN) > 0) != (s.secretARN != "") {
		problems = append(problems, errors.New("ICE_TURN, TURN_SECRET_ARN: set both or neither"))
	}
	if err := errors.Join(problems...); err != nil {
		return ice, fmt.Errorf("%w: %w", telemetry.ErrInvalid, err)
	}
	if s.secretARN == "" {
		return ice, nil
	}
	secret, err := store.Get(ctx, s.secretARN)
	if err != nil {
		return ice, err
	}
	// Editors end a file with a line end, and the servers' configuration has none.
	if ice.Secret = bytes.TrimRight(secret, "\r\n"); len(ice.Secret) == 0 {
		return ice, fmt.Errorf("%w: TURN_SECRET_ARN: the secret is empty", telemetry.ErrInvalid)
	}
	return ice, nil
}

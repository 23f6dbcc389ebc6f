package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/api"
	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/aws/secrets"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/prometheus/promquery"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// build makes the function from its environment.
func build(ctx context.Context, getenv func(string) string, log *slog.Logger) (lambda.Handler, error) {
	env := lambdahost.NewEnv(getenv)
	database, bucket := env.Required("DATABASE_SECRET_ARN"), env.Required("EXPORT_BUCKET")
	pathStyle := env.Bool("AWS_S3_PATH_STYLE", false)
	prometheus, sigV4 := env.Required("PROMETHEUS_URL"), env.Bool("PROMETHEUS_SIGV4", false)
	peers := iceSettings{env.Optional("ICE_STUN", ""), env.Optional("ICE_TURN", ""), env.Optional("TURN_SECRET_ARN", "")}
	host, err := lambdahost.NewHost(getenv)
	if err := errors.Join(env.Err(), err); err != nil {
		return nil, err
	}
	vault := secrets.New(host.AWS)
	pool, err := timescale.OpenSecret(ctx, vault, database, timescale.ForRequests("insighthub-api", 10*time.Second))
	if err != nil {
		return nil, err
	}
	exports, err := s3.New(s3.Config{AWS: host.AWS, Bucket: bucket, PathStyle: pathStyle})
	if err != nil {
		return nil, err
	}
	query := promquery.Config{URL: prometheus, HTTP: awsconfig.NewHTTPClient(), Now: time.Now}
	if sigV4 {
		query.SigV4 = &awsconfig.SigV4{Region: host.AWS.Region, Credentials: host.AWS.Credentials}
	}
	figures, err := promquery.NewFigures(query, 5*time.Second)
	if err != nil {
		return nil, err
	}
	ice, err := relays(ctx, peers, vault)
	if err != nil {
		return nil, err
	}
	handler, err := wire(pool, log, services{files: files{exports}, figures: figures, ice: ice})
	if err != nil {
		return nil, err
	}
	return host.Observe(handler)
}

// services are what is connected beside the database; what is nil is not served.
type services struct {
	files   api.Files
	figures api.Figures
	ice     api.ICE
}

// wire makes the handler over what is connected.
func wire(pool *timescale.Pool, log *slog.Logger, s services) (lambda.Handler, error) {
	handler, err := resources(pool, log, s)
	if err != nil {
		return nil, err
	}
	return lambdahttp.New(lambdahttp.Config{Handler: handler, Now: time.Now})
}

// resources makes what serves the requests.
func resources(pool *timescale.Pool, log *slog.Logger, s services) (*api.Handler, error) {
	return api.New(api.Config{
		Log: log, Now: time.Now, Random: rand.Reader,
		Idempotency: pool, Sites: pool, Gateways: pool, GatewayKeys: pool, Devices: pool, Metrics: pool, Accounts: pool, KPIConfigs: pool, Audit: pool, Readings: pool,
		Exports: pool, Files: s.files, Figures: s.figures,
		Anomalies: pool, AlarmRules: pool, ClientReports: pool, ICE: s.ice,
	})
}

// iceSettings are the variables ICE_STUN, ICE_TURN and TURN_SECRET_ARN.
type iceSettings struct{ stun, turn, secretARN string }

// relays reads the servers by which peers find each other, and the secret that the
// TURN servers share with the platform.
func relays(ctx context.Context, s iceSettings, store *secrets.Store) (ice api.ICE, err error) {
	ice.STUN, ice.TURN = strings.Fields(s.stun), strings.Fields(s.turn)
	for _, address := range append(append([]string{}, ice.STUN...), ice.TURN...) {
		if scheme, rest, _ := strings.Cut(address, ":"); scheme != "stun" && scheme != "stuns" && scheme != "turn" && scheme != "turns" || rest == "" {
			return ice, fmt.Errorf("ICE_STUN and ICE_TURN: %w: %q is no address such as turn:turn.example.com:3478", telemetry.ErrInvalid, address)
		}
	}
	if (len(ice.TURN) > 0) != (s.secretARN != "") {
		return ice, fmt.Errorf("ICE_TURN and TURN_SECRET_ARN: %w: want both or none", telemetry.ErrInvalid)
	}
	if s.secretARN != "" {
		ice.Secret, err = store.Get(ctx, s.secretARN)
	}
	return ice, err
}

package main

import (
	"context"
	"crypto/rand"
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
func build(ctx context.Context, h *lambdahost.Host) (lambdahost.Function, error) {
	database, bucket := h.Env.Required("DATABASE_SECRET_ARN"), h.Env.Required("EXPORT_BUCKET")
	pathStyle := h.Env.Bool("AWS_S3_PATH_STYLE", false)
	query := promquery.Config{
		URL: h.Env.Required("PROMETHEUS_URL"), SigV4: h.SigV4("PROMETHEUS_SIGV4"), HTTP: awsconfig.NewHTTPClient(), Now: time.Now,
	}
	peers := iceSettings{h.Env.Optional("ICE_STUN", ""), h.Env.Optional("ICE_TURN", ""), h.Env.Optional("TURN_SECRET_ARN", "")}
	if err := h.Env.Err(); err != nil {
		return lambdahost.Function{}, err
	}
	vault := secrets.New(h.AWS)
	pool, err := timescale.OpenSecret(ctx, vault, database, timescale.ForRequests("insighthub-api", 10*time.Second))
	if err != nil {
		return lambdahost.Function{}, err
	}
	exports, err := s3.New(s3.Config{AWS: h.AWS, Bucket: bucket, PathStyle: pathStyle})
	if err != nil {
		return lambdahost.Function{}, err
	}
	figures, err := promquery.NewFigures(query, 5*time.Second)
	if err != nil {
		return lambdahost.Function{}, err
	}
	ice, err := relays(ctx, peers, vault)
	if err != nil {
		return lambdahost.Function{}, err
	}
	handler, err := wire(pool, h.Log, services{files: files{exports}, figures: figures, ice: ice})
	return lambdahost.Function{Handler: handler, Close: pool.Close}, err
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

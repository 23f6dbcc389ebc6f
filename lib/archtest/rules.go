package archtest

// Rules of this module, the more specific first.
func Rules() []Rule {
	const (
		telemetry = "lib/telemetry"
		sdk       = "github.com/aws/"
		metrics   = "github.com/prometheus/client_golang"
		model     = "github.com/prometheus/client_model"
	)
	return []Rule{
		// The domain.
		{Path: telemetry, External: []string{"github.com/klauspost/compress", "google.golang.org/protobuf/encoding/protowire"}},
		// Reading JSON in place, for the decoders on hot paths.
		{Path: "lib/jsonscan"},
		{Path: "lib/kpi/kpitest", Tests: true},
		{Path: "lib/kpi", Internal: []string{telemetry}},
		{Path: "lib/anomaly"},
		{Path: "lib/anomaly/judge/...", Internal: []string{"lib/anomaly", "lib/anomaly/judge"}},
		{Path: "lib/problem"},
		{Path: "lib/directory", Internal: []string{telemetry, "lib/kpi"}},
		{Path: "lib/readings", Internal: []string{telemetry}},
		// Encodes files of readings; it adapts no system.
		{Path: "lib/exportfile", Internal: []string{telemetry, "lib/readings"}, External: []string{"github.com/parquet-go/parquet-go"}},
		// The list of common passwords is all that is used of zxcvbn.
		{Path: "lib/password", Internal: []string{telemetry}, External: []string{
			"github.com/trustelem/zxcvbn/frequency", "golang.org/x/crypto/argon2", "golang.org/x/text",
		}},
		{Path: "lib/attempt"},
		{Path: "lib/lookalike", External: []string{"github.com/mtibben/confusables"}},
		{Path: "lib/breaker"},
		{Path: "lib/naming", Internal: []string{telemetry}, External: []string{"golang.org/x/text"}},
		{Path: "lib/credential", Internal: []string{telemetry, "lib/attempt", "lib/naming", "lib/password", "lib/trail"}},
		{Path: "lib/trail", Internal: []string{telemetry, "lib/jsonscan"}},
		{Path: "lib/turn"},
		{Path: "lib/rtc", Internal: []string{telemetry, "lib/jsonscan"}},
		{Path: "lib/rtc/typescript", Internal: []string{"lib/rtc"}},
		{
			Path: "lib/token", Internal: []string{telemetry, "lib/denylist", "lib/httpclient"},
			External: []string{"github.com/golang-jwt/jwt"},
		},
		{Path: "lib/token/tokentest", Internal: []string{"lib/token", telemetry}},

		// What an edge gateway links for the live path: a publisher, and a client of the signaling service.
		{Path: "lib/gateway/signal", Internal: []string{telemetry, "lib/rtc"}, External: []string{"github.com/gorilla/websocket"}},
		{Path: "lib/gateway/gatewaytest", Internal: []string{telemetry, "lib/rtc"}, External: []string{"github.com/pion/"}},
		{
			Path: "lib/gateway", Internal: []string{telemetry, "lib/rtc", "lib/gateway/video"},
			External: []string{"github.com/pion/", metrics},
		},

		// Use-cases.
		{Path: "lib/ingest", Internal: []string{
			telemetry, "lib/denylist", "lib/directory", "lib/jsonscan", "lib/lambda/deadline", "lib/lambda/http", "lib/problem",
		}, External: []string{"github.com/klauspost/compress", metrics}},
		{Path: "lib/access", Internal: []string{
			telemetry, "lib/credential", "lib/denylist", "lib/directory", "lib/lambda/deadline", "lib/lambda/http", "lib/naming",
			"lib/password", "lib/problem", "lib/token", "lib/trail",
		}},
		{Path: "lib/api", Internal: []string{
			telemetry, "docs", "lib/accessrecord", "lib/credential", "lib/denylist", "lib/directory", "lib/exportfile", "lib/kpi",
			"lib/lambda/deadline", "lib/lambda/http", "lib/lookalike", "lib/naming", "lib/password", "lib/problem", "lib/readings",
			"lib/token", "lib/trail", "lib/turn",
		}},
		{Path: "lib/api/apitest", Internal: []string{
			telemetry, "docs/contracttest", "lib/directory", "lib/lambda/http", "lib/password", "lib/problem", "lib/timescale", "lib/trail",
		}, External: []string{sdk}},
		{
			Path: "lib/audit", Internal: []string{telemetry, "lib/release", "lib/token", "lib/trail"},
			External: []string{"github.com/klauspost/compress", metrics},
		},
		{Path: "lib/store", Internal: []string{telemetry, "lib/lambda/deadline", "lib/stream"}, External: []string{metrics}},
		// lib/shardstate declares ports of its own, so a use-case may import it.
		{Path: "lib/detect", Internal: []string{
			telemetry, "lib/anomaly", "lib/directory", "lib/shardstate", "lib/stream",
		}, External: []string{metrics}},
		// Between the functions that change names and ingest.
		{Path: "lib/namelist", Internal: []string{telemetry, "lib/directory"}},
		// What api does with each read; it declares a port of its own.
		{Path: "lib/accessrecord", Internal: []string{"lib/directory"}, External: []string{metrics}},
		// Between the functions that take rights away and those that see tokens.
		{Path: "lib/denylist", Internal: []string{telemetry, "lib/directory", "lib/lambda/background"}, External: []string{metrics}},
		{Path: "lib/denylist/denylisttest", Internal: []string{telemetry}},
		{Path: "lib/refusals", Internal: []string{telemetry, "lib/lambda/background", "lib/trail"}, External: []string{metrics}},
		{Path: "lib/bridge", Internal: []string{telemetry, "lib/kpi", "lib/shardstate", "lib/stream"}, External: []string{metrics}},

		// Adapters.
		{Path: "lib/aws/kinesis", Internal: []string{telemetry, "lib/jsonscan"}, External: []string{sdk, "google.golang.org/protobuf"}},
		{Path: "lib/aws/kinesis/kinesistest", Internal: []string{telemetry}},
		{Path: "lib/timescale", Internal: []string{
			telemetry, "lib/attempt", "lib/breaker", "lib/kpi", "lib/trail", "lib/directory", "lib/readings",
		}},
		{Path: "lib/timescale/timescaletest", Internal: []string{"lib/timescale", "lib/timescale/timescaletest/pgtest"}},
		{Path: "lib/timescale/timescaletest/pgtest"},
		{Path: "lib/aws/s3", Internal: []string{telemetry, "lib/aws/failure"}, External: []string{sdk}},
		{Path: "lib/shardstate", Internal: []string{telemetry}, External: []string{"github.com/klauspost/compress"}},
		{Path: "lib/shardstate/shardstatetest", Internal: []string{"lib/shardstate", "lib/stream", telemetry}, External: []string{metrics}},
		{Path: "lib/prometheus/remotewrite", Internal: []string{
			telemetry, "lib/aws/config", "lib/release",
		}, External: []string{"github.com/klauspost/compress/snappy", "google.golang.org/protobuf/encoding/protowire"}},
		{Path: "lib/prometheus/promquery", Internal: []string{
			telemetry, "lib/aws/config", "lib/breaker", "lib/kpi", "lib/readings", "lib/release",
		}},
		{Path: "lib/aws/secrets", Internal: []string{telemetry, "lib/aws/failure"}, External: []string{sdk}},
		{Path: "lib/aws/kms", Internal: []string{telemetry, "lib/aws/failure"}, External: []string{sdk}},
		{Path: "lib/aws/eventbridge", Internal: []string{telemetry}, External: []string{sdk}},

		// Start-up.
		{Path: "lib/lambda/background"},
		{Path: "lib/lambda/deadline"},
		// The loop of the stream's consumers, with the state of their shards.
		{Path: "lib/stream", Internal: []string{telemetry, "lib/lambda/deadline", "lib/shardstate"}, External: []string{metrics}},
		{Path: "lib/lambda/http", Internal: []string{telemetry, "lib/denylist", "lib/directory", "lib/jsonscan", "lib/problem"}},
		{Path: "lib/aws/failure", Internal: []string{telemetry}, External: []string{sdk}},
		{Path: "lib/httpclient"},
		{Path: "lib/release"},
		{Path: "lib/aws/config", Internal: []string{"lib/httpclient"}, External: []string{sdk}},
		{Path: "lib/lambda/host", Internal: []string{
			telemetry, "lib/aws/config", "lib/httpclient", "lib/lambda/metrics", "lib/prometheus/remotewrite",
		}, External: []string{sdk, metrics}},
		{Path: "lib/lambda/metrics", Internal: []string{
			telemetry, "lib/lambda/background", "lib/prometheus/remotewrite",
		}, External: []string{metrics, model}},
		{Path: "lib/lambda/metrics/metricstest", Internal: []string{"lib/lambda/metrics"}, External: []string{metrics, model}},
		{Path: "functions/audit", Internal: []string{"lib/...", "cdk/local/stackfile"}},
		{Path: "functions/...", Internal: []string{"lib/..."}, External: []string{sdk}},

		// The signaling service: the sessions, which declare the port of the relay.
		{Path: "signaling/hub", Internal: []string{
			telemetry, "lib/denylist", "lib/problem", "lib/rtc", "lib/token", "lib/turn",
		}, External: []string{metrics, "github.com/gorilla/websocket"}},
		// Its port's implementations, in one task and over Redis.
		{Path: "signaling/relay", Internal: []string{telemetry, "lib/rtc", "signaling/hub"}, External: []string{
			"github.com/redis/go-redis", metrics,
		}},
		{Path: "signaling/relay/relaytest", Tests: true, Internal: []string{
			telemetry, "lib/eventually", "lib/rtc", "signaling/hub",
		}, External: []string{"github.com/google/go-cmp/cmp"}},
		// What an edge gateway links.
		{Path: "lib/gateway/video", External: []string{
			"github.com/bluenviron/mediacommon", metrics, "github.com/pion/",
		}},
		{Path: "lib/gateway/video/rtpin", Internal: []string{"lib/gateway/video"}, External: []string{
			"github.com/bluenviron/gortsplib", "github.com/pion/rtp",
		}},
		{Path: "lib/gateway/video/file", Internal: []string{"lib/gateway/video"}, External: []string{"github.com/pion/webrtc"}},
		{Path: "lib/gateway/testpattern", Internal: []string{"lib/gateway/video"}},
		{Path: "lib/gateway/whip", Internal: []string{
			telemetry, "lib/gateway/video", "lib/gateway/video/rtpin", "lib/problem",
		}, External: []string{"github.com/pion/"}},

		{Path: "signaling", Internal: []string{"lib/...", "signaling/hub", "signaling/relay"}, External: []string{sdk, metrics}},

		// Deployment, and the local stack.
		{Path: "cdk/config"},
		{Path: "cdk/constructs", Internal: []string{"cdk/config"}, External: []string{"*"}},
		{Path: "cdk/stacks", Internal: []string{"cdk/config", "cdk/constructs"}, External: []string{"*"}},
		// Compares templates for the tests of cdk/stacks.
		{Path: "cdk/upgrade"},
		{Path: "cdk", Internal: []string{"cdk/stacks"}, External: []string{"*"}},
		{Path: "cdk/grafana", Internal: []string{"lib/kpi"}, External: []string{"github.com/grafana/grafana-foundation-sdk"}},
		{Path: "cdk/local/kinesis/...", Internal: []string{"cdk/local/awsjson", "lib/jsonscan"}, External: []string{"*"}},
		{Path: "cdk/local/eventsource"},
		{Path: "cdk/local/lambda/..."},
		{Path: "cdk/local/process"},
		{Path: "cdk/local/process/processtest", Internal: []string{"lib/eventually"}},
		{Path: "cdk/local/redis/redistest", Internal: []string{"cdk/local/process/processtest", "cdk/local/redis", "lib/eventually"}},
		// Read by the load tests and the self-check, so it imports no emulator.
		{Path: "cdk/local/stackfile", Internal: []string{"cdk/local/atomicfile", "lib/aws/config", "lib/aws/kms", "lib/token"}},
		{Path: "cdk/local/...", Internal: []string{"cdk/local/...", telemetry, "lib/jsonscan", "lib/token"}, External: []string{"*"}},

		// Load.
		{Path: "loadtest/apifuzz", Internal: []string{
			"docs", "docs/contracttest", "cdk/local/stackfile", telemetry, "lib/token",
		}, External: []string{"go.yaml.in/yaml"}},
		{Path: "loadtest/fleet/fleettest", Internal: []string{"loadtest/fleet", telemetry, "lib/aws/kinesis/kinesistest"}},
		// It reads the contract that the stack serves.
		{Path: "loadtest/flood", Internal: []string{"loadtest/...", "cdk/local/stackfile", telemetry, "lib/token"}, External: []string{
			"go.yaml.in/yaml",
		}},
		// A gateway's cameras, for players, encoders and a browser.
		{Path: "loadtest/camera", Internal: []string{
			"lib/gateway/testpattern", "lib/gateway/video", "lib/gateway/video/file", "lib/gateway/video/rtpin", "lib/gateway/whip",
		}},
		{Path: "loadtest/glass", Internal: []string{
			"lib/gateway/testpattern", "lib/gateway/video", "lib/gateway/whip", "loadtest/drive",
		}, External: []string{"github.com/pion/webrtc"}},
		{Path: "loadtest/live/relay", Internal: []string{telemetry, "lib/rtc"}, External: []string{"github.com/gorilla/websocket"}},
		{Path: "loadtest/live", Internal: []string{
			"loadtest/...", telemetry, "lib/token", "lib/gateway", "lib/gateway/signal",
		}, External: []string{metrics}},
		{Path: "loadtest/signaling", Internal: []string{
			telemetry, "lib/rtc", "lib/token", "loadtest/drive", "loadtest/localsignaling",
		}, External: []string{"github.com/gorilla/websocket"}},
		{Path: "loadtest/rtcfacts", Internal: []string{"loadtest/live/chromium"}, External: []string{"github.com/pion/webrtc"}},
		{Path: "loadtest/publish", Internal: []string{
			"loadtest/fleet", telemetry, "lib/gateway", "lib/gateway/signal", "lib/gateway/testpattern", "lib/gateway/video",
		}},
		{Path: "loadtest", Internal: []string{"loadtest/...", "cdk/local/stackfile", telemetry, "lib/token", "lib/gateway"}},
		{Path: "loadtest/...", Internal: []string{"loadtest/...", "cdk/local/stackfile", telemetry, "lib/token"}},

		// The detector in the browser.
		{Path: "wasm", Internal: []string{"wasm/module"}},
		{Path: "wasm/module", Internal: []string{"lib/anomaly"}},
		{Path: "wasm/parity/...", Internal: []string{"lib/anomaly", "wasm/parity/..."}},

		// Support of the browser's tests.
		{Path: "web/test/records", Internal: []string{telemetry}},
		{Path: "web/test/gateway", Internal: []string{
			telemetry, "lib/anomaly", "lib/gateway/...", "lib/token", "loadtest/localsignaling",
		}},

		// The contract, served by the API. contracttest checks responses against it: only test support imports it.
		{Path: "docs"},
		{Path: "docs/page", External: []string{"go.yaml.in/yaml"}},
		{Path: "docs/contracttest", Internal: []string{
			"docs",
		}, External: []string{"github.com/santhosh-tekuri/jsonschema", "go.yaml.in/yaml"}},

		// For tests.
		{Path: "lib/eventually", Tests: true},

		{Path: "lib/archtest"},
	}
}

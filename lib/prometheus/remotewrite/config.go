package remotewrite

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// HTTPClient is the part of *http.Client that is needed. It should not follow redirects.
type HTTPClient interface {
	Do(*http.Request) (*http.Response, error)
}

var _ HTTPClient = (*http.Client)(nil)

// ManagedURL is where a workspace of Amazon Managed Service for Prometheus takes
// remote write. It speaks 1.0: set Config.Protocol to V1.
func ManagedURL(region, workspace string) string {
	return "https://aps-workspaces." + region + ".amazonaws.com/workspaces/" + url.PathEscape(workspace) + "/api/v1/remote_write"
}

// Config is a Client's. URL, HTTP, Now and Rand are required.
type Config struct {
	URL  string
	HTTP HTTPClient
	// Protocol is Auto by default.
	Protocol Protocol
	// SigV4 is nil for a receiver that wants no signature.
	SigV4 *awsconfig.SigV4
	// UserAgent is "insighthub" by default.
	UserAgent string

	// Now is the clock for signatures, deadlines and the dates of Retry-After.
	Now func() time.Time
	// Rand returns a number in [0, 1), safely for concurrent use.
	Rand func() float64

	// MaxSamples bounds the samples of one request, histograms by their
	// buckets; default 5,000. MaxBytes bounds its size before compression, by an
	// estimate that errs upwards; default 1 MiB. A single sample may pass either.
	MaxSamples, MaxBytes int
	// MaxBisections bounds the additional requests by which one Write looks for
	// bad samples; default 256, enough for about ten among 5,000.
	MaxBisections int
	// MaxAttempts bounds the attempts for one request. Default 0: only the
	// context's deadline does; without a deadline 10.
	MaxAttempts int
	// BackoffBase and BackoffCap bound the wait before attempt n + 1, which is
	// drawn evenly from the upper half of min(cap, base·2ⁿ). Default 100 ms and 5 s.
	BackoffBase, BackoffCap time.Duration
	// AttemptTimeout bounds one attempt. Default 10 s.
	AttemptTimeout time.Duration
	// Margin of the context's deadline is left to the caller. Default 50 ms.
	Margin time.Duration
	// MetadataInterval is how often 1.0, where metadata is apart from the
	// samples, repeats what is known of each metric. Default 1 minute.
	MetadataInterval time.Duration
}

func (cfg *Config) complete() error {
	var problems []error
	missing := func(is bool, name string) {
		if is {
			problems = append(problems, fmt.Errorf("%s: not set", name))
		}
	}
	missing(cfg.HTTP == nil, "http")
	missing(cfg.Now == nil, "now")
	missing(cfg.Rand == nil, "rand")
	if u, err := url.Parse(cfg.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		problems = append(problems, fmt.Errorf("url: %q: want http(s)://host/path", cfg.URL))
	}
	if err := cfg.SigV4.Validate(); err != nil {
		problems = append(problems, err)
	}
	if cfg.Protocol > V2 {
		problems = append(problems, fmt.Errorf("protocol: %d: unknown", cfg.Protocol))
	}
	if len(problems) > 0 {
		return fmt.Errorf("remote write: %w: %w", telemetry.ErrInvalid, errors.Join(problems...))
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "insighthub"
	}
	setDefault(&cfg.MaxSamples, 5000)
	setDefault(&cfg.MaxBytes, 1<<20)
	setDefault(&cfg.MaxBisections, 256)
	setDefault(&cfg.BackoffBase, 100*time.Millisecond)
	setDefault(&cfg.BackoffCap, 5*time.Second)
	setDefault(&cfg.AttemptTimeout, 10*time.Second)
	setDefault(&cfg.Margin, 50*time.Millisecond)
	setDefault(&cfg.MetadataInterval, time.Minute)
	return nil
}

func setDefault[T ~int | ~int64](v *T, fallback T) {
	if *v <= 0 {
		*v = fallback
	}
}

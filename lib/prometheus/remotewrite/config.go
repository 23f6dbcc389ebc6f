package remotewrite

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/release"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// HTTPClient is the part of *http.Client that a Client uses. It should not follow redirects.
type HTTPClient interface {
	Do(*http.Request) (*http.Response, error)
}

var _ HTTPClient = (*http.Client)(nil)

// ManagedURL returns the remote-write endpoint of a workspace of Amazon Managed Service for
// Prometheus. It supports 1.0: set Config.Protocol to V1.
func ManagedURL(region, workspace string) string {
	return "https://aps-workspaces." + region + ".amazonaws.com/workspaces/" + url.PathEscape(workspace) + "/api/v1/remote_write"
}

// Config of a Client. URL, HTTP, Now and Rand are required.
type Config struct {
	URL  string
	HTTP HTTPClient
	// Protocol is Auto by default.
	Protocol Protocol
	// SigV4 is nil for a receiver that requires no signature.
	SigV4 *awsconfig.SigV4
	// UserAgent is "insighthub/" and the version by default, as the specification recommends.
	UserAgent string

	// Now is the clock for signatures, deadlines and the dates of Retry-After.
	Now func() time.Time
	// Rand returns a number in [0, 1), safely for concurrent use.
	Rand func() float64

	// MaxSamples limits the samples of one request, with each bucket of a histogram as
	// one; default 5,000. MaxBytes limits its size before compression, by an upper
	// estimate; default 1 MiB. A single sample may exceed both.
	MaxSamples, MaxBytes int
	// MaxAttempts limits the attempts of one request. Default 0: only the context's
	// deadline does; without a deadline 10.
	MaxAttempts int
	// BackoffBase and BackoffCap limit the wait before attempt n + 1, which is random and
	// uniform in the upper half of min(cap, base·2ⁿ). Default 100 ms and 5 s.
	BackoffBase, BackoffCap time.Duration
	// AttemptTimeout limits one attempt. Default 10 s.
	AttemptTimeout time.Duration
	// Margin is the time before the context's deadline that is reserved for the caller. Default 50 ms.
	Margin time.Duration
	// MetadataInterval is how often 1.0, where metadata is separate from the samples,
	// repeats the metadata of each metric. Default 1 minute.
	MetadataInterval time.Duration
}

func (cfg *Config) complete() error {
	var problems []error
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
	cfg.UserAgent = cmp.Or(cfg.UserAgent, release.UserAgent("insighthub"))
	cfg.MaxSamples = cmp.Or(cfg.MaxSamples, 5000)
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 1<<20)
	cfg.BackoffBase = cmp.Or(cfg.BackoffBase, 100*time.Millisecond)
	cfg.BackoffCap = cmp.Or(cfg.BackoffCap, 5*time.Second)
	cfg.AttemptTimeout = cmp.Or(cfg.AttemptTimeout, 10*time.Second)
	cfg.Margin = cmp.Or(cfg.Margin, 50*time.Millisecond)
	cfg.MetadataInterval = cmp.Or(cfg.MetadataInterval, time.Minute)
	return nil
}

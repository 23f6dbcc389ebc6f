// Package promquery asks Prometheus for the sums that KPIs are made of. It speaks the
// HTTP API of Prometheus and of Amazon Managed Service for Prometheus.
package promquery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// HTTPClient is the part of *http.Client that is needed. It should not follow redirects.
type HTTPClient interface {
	Do(*http.Request) (*http.Response, error)
}

// Config is a Client's; all but Region and Credentials is required.
type Config struct {
	// URL is where the API begins, before api/v1/query.
	URL  string
	HTTP HTTPClient
	Now  func() time.Time
	// Timeout bounds one query.
	Timeout time.Duration
	// Region and Credentials sign for the managed service; without a region nothing is signed.
	Region      string
	Credentials aws.CredentialsProvider
}

// Client asks one server. It is safe for concurrent use.
type Client struct {
	config Config
	url    string
	signer *v4.Signer
}

// New returns a Client, or telemetry.ErrInvalid.
func New(config Config) (*Client, error) {
	u, err := url.Parse(config.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("promquery: %w: address %q: want http(s)://host/path", telemetry.ErrInvalid, config.URL)
	}
	if config.HTTP == nil || config.Now == nil || config.Timeout <= 0 || config.Region != "" && config.Credentials == nil {
		return nil, fmt.Errorf("promquery: %w: want a client, a clock, a timeout, and credentials for a region", telemetry.ErrInvalid)
	}
	return &Client{config: config, url: strings.TrimSuffix(config.URL, "/") + "/api/v1/query", signer: v4.NewSigner()}, nil
}

// Sums returns the sums of the windows that end in the range (its beginning excluded):
// of a site, of a gateway, or of one device. Windows is how many machines' windows
// there are; 0 when nothing was reported. telemetry.ErrUnavailable when the server does not
// answer in time.
func (c *Client) Sums(ctx context.Context, s readings.Selection) (kpi.Totals, error) {
	samples, err := c.query(ctx, statement(s), s.Range.To)
	if err != nil {
		return kpi.Totals{}, fmt.Errorf("figures: %w", err)
	}
	totals := kpi.Totals{Downtime: make(map[string]time.Duration)}
	for _, sample := range samples {
		add(&totals, kpi.Figure(sample.Metric[figureLabel]), sample.Metric["reason"], sample.value)
	}
	return totals, nil
}

// figureLabel is the label by which the parts of a query are told apart.
const figureLabel = "figure"

// statement asks for all sums at once.
func statement(s readings.Selection) string {
	labels := "{site=" + quote(string(s.Site))
	if s.Gateway != "" {
		labels += ",gateway=" + quote(string(s.Gateway))
	}
	if s.Device != "" {
		labels += ",device=" + quote(string(s.Device))
	}
	// A window is stamped with its end, a whole second. One that ends at the beginning
	// belongs to what came before; servers before 3.0 would count it.
	milliseconds := max((int64(s.Range.To)/1000)-(int64(s.Range.From)/1000)-1, 1)
	labels += "}[" + strconv.FormatInt(milliseconds, 10) + "ms]"
	var parts []string
	part := func(figure kpi.Figure, expression string) {
		parts = append(parts, `label_replace(`+expression+`,"`+figureLabel+`","`+string(figure)+`","","")`)
	}
	for _, figure := range sums() {
		by := ""
		if figure == kpi.DownSeconds {
			by = " by (reason) "
		}
		part(figure, "sum"+by+"(sum_over_time("+string(figure)+labels+"))")
	}
	part(windows, "sum(count_over_time("+string(kpi.CalendarSeconds)+labels+"))")
	return strings.Join(parts, " or ")
}

const windows kpi.Figure = "windows"

func sums() []kpi.Figure {
	return []kpi.Figure{
		kpi.CalendarSeconds, kpi.PlannedSeconds, kpi.BusySeconds, kpi.ProductionSeconds, kpi.IdleSeconds, kpi.SetupSeconds,
		kpi.DownSeconds, kpi.UnknownSeconds, kpi.Failures, kpi.Produced, kpi.Good, kpi.IdealSeconds,
	}
}

// quote makes a string of PromQL. Everything but letters and digits of ASCII is
// escaped, so that no text can end it, whatever a server's parser thinks of quotes.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.', r == ' ':
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// add puts a figure to its place.
func add(r *kpi.Totals, figure kpi.Figure, reason string, v float64) {
	duration := time.Duration(math.Round(v * 1e6)) // exact to the microsecond, as the windows are
	duration *= time.Microsecond
	switch figure { //nolint:exhaustive // those that were asked for
	case kpi.CalendarSeconds:
		r.Calendar = duration
	case kpi.PlannedSeconds:
		r.Planned = duration
	case kpi.BusySeconds:
		r.Busy = duration
	case kpi.ProductionSeconds:
		r.Production = duration
	case kpi.IdleSeconds:
		r.Idle = duration
	case kpi.SetupSeconds:
		r.Setup = duration
	case kpi.DownSeconds:
		r.Down += duration
		r.Downtime[reason] += duration
	case kpi.UnknownSeconds:
		r.Unknown = duration
	case kpi.Failures:
		r.Failures = uint64(max(v, 0))
	case kpi.Produced:
		r.Produced = v
	case kpi.Good:
		r.Good = v
	case kpi.IdealSeconds:
		r.IdealSeconds = v
	case windows:
		r.Windows = int64(v)
	}
}

// sample is an element of an instant vector.
type sample struct {
	Metric map[string]string  `json:"metric"`
	Value  [2]json.RawMessage `json:"value"`
	value  float64
}

const maxAnswerBytes = 1 << 20

// query evaluates an expression at a time.
func (c *Client) query(ctx context.Context, expression string, at telemetry.Micros) ([]sample, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	form := url.Values{
		"query": {expression}, "time": {strconv.FormatFloat(float64(at/1000)/1000, 'f', 3, 64)},
		"timeout": {strconv.FormatInt(c.config.Timeout.Milliseconds(), 10) + "ms"},
	}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := c.sign(ctx, request, form); err != nil {
		return nil, err
	}
	response, err := c.config.HTTP.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", telemetry.ErrUnavailable, err)
	}
	defer response.Body.Close() //nolint:errcheck // read as far as is needed
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", telemetry.ErrUnavailable, err)
	}
	switch code := response.StatusCode; {
	case code == http.StatusUnprocessableEntity: // the range holds too much
		return nil, fmt.Errorf("%w: status %d: %.300s", telemetry.ErrInvalid, code, body)
	case code == http.StatusTooManyRequests || code >= 500:
		return nil, fmt.Errorf("%w: status %d: %.300s", telemetry.ErrUnavailable, code, body)
	case code != http.StatusOK:
		return nil, fmt.Errorf("status %d: %.300s", code, body)
	}
	return decode(body)
}

var errAnswer = errors.New("no instant vector")

// decode reads the answer to an instant query.
func decode(body []byte) ([]sample, error) {
	var answer struct {
		Status string `json:"status"`
		Data   struct {
			ResultType string   `json:"resultType"`
			Result     []sample `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Status != "success" || answer.Data.ResultType != "vector" {
		return nil, fmt.Errorf("answer: %w: %w", errAnswer, err)
	}
	for i := range answer.Data.Result {
		s := &answer.Data.Result[i]
		var text string
		if err := json.Unmarshal(s.Value[1], &text); err != nil {
			return nil, fmt.Errorf("answer: %w: %w", errAnswer, err)
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("answer: %w: value %.40q", errAnswer, text)
		}
		s.value = v
	}
	return answer.Data.Result, nil
}

func (c *Client) sign(ctx context.Context, request *http.Request, body string) error {
	if c.config.Region == "" {
		return nil
	}
	credentials, err := c.config.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	sum := sha256.Sum256([]byte(body))
	return c.signer.SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), "aps", c.config.Region, c.config.Now())
}

package promquery

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Figures asks for the sums that KPIs are made of. It is safe for concurrent use.
type Figures struct {
	client  *Client
	timeout time.Duration
}

// NewFigures returns what asks a server, each time for at most the timeout; the error
// wraps telemetry.ErrInvalid.
func NewFigures(config Config, timeout time.Duration) (*Figures, error) {
	client, err := New(config)
	if err != nil {
		return nil, err
	}
	if timeout <= 0 {
		return nil, fmt.Errorf("prometheus: %w: want a timeout", telemetry.ErrInvalid)
	}
	return &Figures{client, timeout}, nil
}

// Sums returns the sums of the windows that end in the range (its beginning excluded):
// of a site, of a gateway, or of one device. Windows is how many machines' windows
// there are; 0 when nothing was reported. telemetry.ErrUnavailable when the server does not
// answer in time.
func (f *Figures) Sums(ctx context.Context, s readings.Selection) (kpi.Totals, error) {
	samples, err := f.ask(ctx, statement(s), s.Range.To)
	if err != nil {
		return kpi.Totals{}, fmt.Errorf("figures: %w", err)
	}
	totals := kpi.Totals{Downtime: make(map[string]time.Duration)}
	for _, sample := range samples {
		figure := kpi.Name(sample.Labels[figureLabel])
		if figure == "" || math.IsNaN(sample.Value) || math.IsInf(sample.Value, 0) {
			return kpi.Totals{}, fmt.Errorf("figures: %w: %g of %.40q", errAnswer, sample.Value, figure)
		}
		add(&totals, figure, sample.Labels["reason"], sample.Value)
	}
	return totals, nil
}

// ask evaluates an expression at a time. The expression is ours: a server that does
// not understand it is no mistake of the caller's.
func (f *Figures) ask(ctx context.Context, expression string, at telemetry.Micros) ([]Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	const maxAnswerBytes = 1 << 20
	body, err := f.client.post(ctx, maxAnswerBytes, url.Values{
		"query": {expression}, "time": {strconv.FormatFloat(float64(at/1000)/1000, 'f', 3, 64)},
		"timeout": {strconv.FormatInt(f.timeout.Milliseconds(), 10) + "ms"},
	})
	if refused, ok := errors.AsType[*refusal](err); ok {
		switch code := refused.status; {
		case code == http.StatusUnprocessableEntity: // the range holds too much
			return nil, fmt.Errorf("%w: %w", telemetry.ErrInvalid, err)
		case code == http.StatusTooManyRequests || code >= 500:
			return nil, fmt.Errorf("%w: %w", telemetry.ErrUnavailable, err)
		}
	}
	if err != nil {
		return nil, err
	}
	return parse(body)
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
	part := func(figure kpi.Name, expression string) {
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

const windows kpi.Name = "windows"

func sums() []kpi.Name {
	return []kpi.Name{
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
func add(r *kpi.Totals, figure kpi.Name, reason string, v float64) {
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

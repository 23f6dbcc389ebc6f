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

// KPIs queries the sums that KPIs are computed from. It is safe for concurrent use.
type KPIs struct {
	client  *Client
	timeout time.Duration
}

// NewKPIs returns KPIs of a server; the timeout limits each query. The error wraps
// telemetry.ErrInvalid.
func NewKPIs(config Config, timeout time.Duration) (*KPIs, error) {
	client, err := New(config)
	if err != nil {
		return nil, err
	}
	if timeout <= 0 {
		return nil, fmt.Errorf("prometheus: %w: want a timeout", telemetry.ErrInvalid)
	}
	return &KPIs{client, timeout}, nil
}

// Sums returns the sums of the windows that end in the range (its beginning excluded):
// of a site, of a gateway, or of one device. Windows is the number of machines' windows; 0
// when nothing was reported. The error wraps telemetry.ErrUnavailable when the server does
// not respond in time.
func (k *KPIs) Sums(ctx context.Context, s readings.Selection) (kpi.Totals, error) {
	samples, err := k.query(ctx, statement(s), s.Range.To)
	if err != nil {
		return kpi.Totals{}, fmt.Errorf("KPIs: %w", err)
	}
	totals := kpi.Totals{Downtime: make(map[string]time.Duration)}
	for _, sample := range samples {
		name := kpi.Name(sample.Labels[kpiLabel])
		if name == "" || math.IsNaN(sample.Value) || math.IsInf(sample.Value, 0) {
			return kpi.Totals{}, fmt.Errorf("KPIs: %w: %g of %.40q", errResponse, sample.Value, name)
		}
		add(&totals, name, sample.Labels["reason"], sample.Value)
	}
	return totals, nil
}

// query evaluates an expression at a time. The caller did not write the expression, so a
// server that rejects it is an internal error.
func (k *KPIs) query(ctx context.Context, expression string, at telemetry.Micros) ([]Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	const maxResponseBytes = 1 << 20
	body, err := k.client.post(ctx, maxResponseBytes, url.Values{
		"query": {expression}, "time": {strconv.FormatFloat(float64(at/1000)/1000, 'f', 3, 64)},
		"timeout": {strconv.FormatInt(k.timeout.Milliseconds(), 10) + "ms"},
	})
	if status, ok := errors.AsType[*statusError](err); ok {
		switch code := status.code; {
		case code == http.StatusUnprocessableEntity: // the range has too many samples
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

// kpiLabel is the label that distinguishes the parts of a query.
const kpiLabel = "kpi"

// statement returns the expression of all sums.
func statement(s readings.Selection) string {
	labels := "{site=" + quote(string(s.Site))
	if s.Gateway != "" {
		labels += ",gateway=" + quote(string(s.Gateway))
	}
	if s.Device != "" {
		labels += ",device=" + quote(string(s.Device))
	}
	// A window's timestamp is its end, a whole second. One that ends at the beginning of the
	// range is before it; servers before 3.0 would count it.
	milliseconds := max((int64(s.Range.To)/1000)-(int64(s.Range.From)/1000)-1, 1)
	labels += "}[" + strconv.FormatInt(milliseconds, 10) + "ms]"
	var parts []string
	part := func(name kpi.Name, expression string) {
		parts = append(parts, `label_replace(`+expression+`,"`+kpiLabel+`","`+string(name)+`","","")`)
	}
	for _, name := range sums() {
		by := ""
		if name == kpi.DownSeconds {
			by = " by (reason) "
		}
		part(name, "sum"+by+"(sum_over_time("+string(name)+labels+"))")
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

// quote returns a PromQL string literal. Everything but a few ASCII characters is escaped,
// so that no text can end the literal, however a server parses quotes.
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

// add sets the field of a KPI.
func add(r *kpi.Totals, name kpi.Name, reason string, v float64) {
	duration := time.Duration(math.Round(v * 1e6)) // exact to the microsecond, as the windows are
	duration *= time.Microsecond
	switch name { //nolint:exhaustive // those of the query
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

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
	totals := kpi.Totals{Sums: make(map[kpi.Name]float64), Machines: make(map[kpi.Name]int64)}
	for _, sample := range samples {
		part := sample.Labels[partLabel]
		if part == "" || math.IsNaN(sample.Value) || math.IsInf(sample.Value, 0) {
			return kpi.Totals{}, fmt.Errorf("KPIs: %w: %g of %.60q", errResponse, sample.Value, part)
		}
		add(&totals, part, sample.Value)
		if part == "sum "+string(kpi.DownSeconds) {
			addDowntime(&totals, sample.Labels["reason"], sample.Value)
		}
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

// partLabel is the label that distinguishes the parts of a query: "sum", "machines" or
// "windows", then a space and the name of the samples.
const partLabel = "part"

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
	part := func(kind string, name kpi.Name, expression string) {
		parts = append(parts, `label_replace(`+expression+`,"`+partLabel+`","`+kind+" "+string(name)+`","","")`)
	}
	for _, d := range kpi.MachineSums() {
		by := ""
		if d.Name == kpi.DownSeconds {
			by = " by (reason) "
		}
		part("sum", d.Name, "sum"+by+"(sum_over_time("+string(d.Name)+labels+"))")
	}
	for _, name := range kpi.Counted() {
		part("machines", name, "count(present_over_time("+string(name)+labels+"))")
	}
	part("windows", kpi.CalendarSeconds, "sum(count_over_time("+string(kpi.CalendarSeconds)+labels+"))")
	return strings.Join(parts, " or ")
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

// add adds a part of the response.
func add(t *kpi.Totals, part string, v float64) {
	kind, text, _ := strings.Cut(part, " ")
	name := kpi.Name(text)
	switch kind {
	case "machines":
		t.Machines[name] = int64(v)
	case "windows":
		t.Windows = int64(v)
	default:
		v += t.Sums[name] // of another reason
		if strings.HasSuffix(text, "_seconds") {
			v = math.Round(v*1e6) / 1e6 // exact to the microsecond, as the windows are
		}
		t.Sums[name] = v
	}
}

// addDowntime adds the down time of a reason. Without a reason there is also the 0 of
// machines that have no down state.
func addDowntime(t *kpi.Totals, reason string, v float64) {
	if t.Downtime == nil {
		t.Downtime = make(map[string]float64)
	}
	if v = math.Round(v*1e6) / 1e6; v > 0 || reason != "" {
		t.Downtime[reason] = v
	}
}

package api

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Readings reads the readings of machines. Series and gateways that the site does not
// have are telemetry.ErrNotFound.
type Readings interface {
	Points(ctx context.Context, s readings.Series, q readings.PointQuery) (readings.Points, error)
	Buckets(ctx context.Context, s readings.Series, q readings.BucketQuery) (readings.Buckets, error)
	// Latest returns the last reading of each series, by event time, in the order of the
	// series' names.
	Latest(ctx context.Context, q readings.LatestQuery) ([]readings.Latest, error)

	Conflicts
}

const (
	// The resolution auto returns single readings up to autoPoints, and at most
	// autoBuckets buckets of more.
	autoPoints  = 5_000
	autoBuckets = 2_000
	// maxPoints bounds a page of single readings, maxBuckets a response: both fit in the
	// response of a Lambda function.
	maxPoints  = 50_000
	maxBuckets = 10_000
)

func (h *Handler) readingRoutes() []route {
	return []route{
		{pattern: "GET /v1/sites/{site}/readings", role: directory.Viewer, serve: h.getReadings, parameters: []string{
			"gateway", "device", "metric", "from", "to", "resolution", "aggregates", "quality", "limit", "cursor",
		}},
		{pattern: "GET /v1/sites/{site}/latest", role: directory.Viewer, serve: h.getLatest, parameters: []string{
			"gateway", "device", "metric", "limit", "cursor",
		}},
	}
}

// readingsQuery holds the parameters of GET …/readings.
type readingsQuery struct {
	series     readings.Series
	span       readings.Range
	auto       bool
	resolution readings.Resolution
	aggregates []readings.Aggregate
	qualities  readings.Qualities
	limit      int
	// list identifies the series in cursors.
	list string
}

// parseReadings reads the parameters and checks their form. Whether the series exists is
// decided by the query to the database.
func parseReadings(values url.Values, site telemetry.SiteID, now time.Time) (q readingsQuery, err error) {
	q.series.Site = site
	if q.series.Gateway, err = nameParameter[telemetry.GatewayID](values, "gateway", true); err != nil {
		return q, err
	}
	if q.series.Device, err = nameParameter[telemetry.DeviceName](values, "device", true); err != nil {
		return q, err
	}
	if q.series.Metric, err = nameParameter[telemetry.MetricName](values, "metric", true); err != nil {
		return q, err
	}
	if q.span, err = rangeParameters(values, now); err != nil {
		return q, err
	}
	if q.qualities, err = qualityParameter(values.Get("quality")); err != nil {
		return q, err
	}
	if q.aggregates, err = aggregatesParameter(values.Get("aggregates")); err != nil {
		return q, err
	}
	if err := q.readResolution(values.Get("resolution")); err != nil {
		return q, err
	}
	if q.limit, err = limitParameter(values, autoPoints, maxPoints); err != nil {
		return q, err
	}
	return q, q.readCursor(values.Get("cursor"))
}

func (q *readingsQuery) readResolution(name string) (err error) {
	if name == "" || name == "auto" {
		q.auto, q.resolution = true, readings.Raw()
		return nil
	}
	if q.resolution, err = readings.ParseResolution(name); err != nil {
		return badRequest(`Parameter "resolution" must be auto, raw, 1s, 10s, 1m, 10m, 1h or 1d.`)
	}
	if q.resolution.Width > 0 && q.resolution.Buckets(q.span) > maxBuckets {
		return unprocessable("The range has more than %d buckets of %s. Request a coarser resolution or a shorter range.", maxBuckets, name)
	}
	return nil
}

// readCursor narrows the range to what follows the last page. The cursor holds the
// range's end, so that the pages of a range that ends now belong to the same range.
func (q *readingsQuery) readCursor(text string) error {
	s := q.series
	q.list = strings.Join([]string{"readings", string(s.Site), string(s.Gateway), string(s.Device), string(s.Metric)}, "\x01")
	if text == "" {
		return nil
	}
	last, err := readCursor(text, q.list)
	if err != nil {
		return err
	}
	after, until, ok := strings.Cut(last, " ")
	from, err1 := wholeNumber(after, 0, int64(maxTime))
	to, err2 := wholeNumber(until, 0, int64(maxTime))
	if !ok || err1 != nil || err2 != nil || from >= to {
		return foreignCursor()
	}
	if !q.auto && q.resolution.Width > 0 {
		return badRequest(`Parameter "cursor" cannot be combined with buckets: only single readings have pages.`)
	}
	q.auto, q.resolution = false, readings.Raw()
	q.span = readings.Range{From: telemetry.Micros(from), To: telemetry.Micros(to)}
	return nil
}

// qualityParameter reads which readings count. The default leaves out bad readings, whose
// sensor reported a failure.
func qualityParameter(text string) (readings.Qualities, error) {
	switch text {
	case "good":
		return readings.Qualities{telemetry.Good}, nil
	case "", "good,uncertain":
		return readings.Qualities{telemetry.Good, telemetry.Uncertain}, nil
	case "all":
		return readings.Qualities{telemetry.Good, telemetry.Uncertain, telemetry.Bad}, nil
	default:
		return nil, badRequest(`Parameter "quality" must be good, "good,uncertain" or all.`)
	}
}

func aggregatesParameter(text string) ([]readings.Aggregate, error) {
	if text == "" {
		return []readings.Aggregate{readings.Min, readings.Max, readings.Mean, readings.Count}, nil
	}
	var aggregates []readings.Aggregate
	for name := range strings.SplitSeq(text, ",") {
		a := readings.Aggregate(name)
		if !slices.Contains(readings.Aggregates(), a) || slices.Contains(aggregates, a) {
			return nil, badRequest(`Parameter "aggregates" must be a list of min,max,mean,sum,count,first,last without repetition.`)
		}
		aggregates = append(aggregates, a)
	}
	return aggregates, nil
}

func (h *Handler) getReadings(c *call) error {
	q, err := parseReadings(c.values, c.site(), c.now)
	if err != nil {
		return err
	}
	if q.resolution.Width == 0 {
		points := readings.PointQuery{Range: q.span, Qualities: q.qualities, Limit: q.limit, Whole: q.auto}
		if q.auto {
			points.Limit = min(q.limit, autoPoints)
		}
		p, err := h.config.Readings.Points(c.Context(), q.series, points)
		if err != nil {
			return err
		}
		if !q.auto || !p.More {
			return respondPoints(c, q, p)
		}
		q.resolution = readings.Finest(q.span, autoBuckets, p.StoredWidth)
	}
	b, err := h.config.Readings.Buckets(c.Context(), q.series, readings.BucketQuery{
		Range: q.span, Qualities: q.qualities, Width: q.resolution.Width, Aggregates: q.aggregates,
	})
	if err != nil {
		return err
	}
	return respondBuckets(c, q, b)
}

// columnsHead returns the start of the columnar response, {"resolution":…,"unit":…,"from":…,"to":….
func columnsHead(q readingsQuery, unit string) []byte {
	out := []byte(`{"resolution":"` + q.resolution.Name + `","unit":` + marshal(unit))
	out = append(out, `,"from":`...)
	out = strconv.AppendInt(out, int64(q.span.From), 10)
	out = append(out, `,"to":`...)
	return strconv.AppendInt(out, int64(q.span.To), 10)
}

// respondPoints writes single readings in columns. Their qualities (0 good, 1 uncertain,
// 2 bad) are left out when all are good.
func respondPoints(c *call, q readingsQuery, p readings.Points) error {
	const perPoint = 40
	out := slices.Grow(columnsHead(q, p.Unit), len(p.Times)*perPoint)
	out = appendTimes(out, p.Times)
	out = appendColumn(out, "values", p.Values)
	if slices.ContainsFunc(p.Quality, func(q telemetry.Quality) bool { return q != telemetry.Good }) {
		out = append(out, `,"qualities":[`...)
		for i, quality := range p.Quality {
			if i > 0 {
				out = append(out, ',')
			}
			out = strconv.AppendUint(out, uint64(quality), 10)
		}
		out = append(out, ']')
	}
	if p.More {
		last := p.Times[len(p.Times)-1]
		out = append(out, `,"next_cursor":"`...)
		out = append(out, cursor(q.list, strconv.FormatInt(int64(last)+1, 10)+" "+strconv.FormatInt(int64(q.span.To), 10))...)
		out = append(out, '"')
	}
	return respondColumns(c, append(out, '}', '\n'))
}

func respondBuckets(c *call, q readingsQuery, b readings.Buckets) error {
	const perValue = 20
	out := slices.Grow(columnsHead(q, b.Unit), len(b.Times)*perValue*(1+len(b.Columns)))
	out = appendTimes(out, b.Times)
	for i, a := range q.aggregates {
		out = appendColumn(out, string(a), b.Columns[i])
	}
	return respondColumns(c, append(out, '}', '\n'))
}

func appendTimes(out []byte, times []telemetry.Micros) []byte {
	out = append(out, `,"times":[`...)
	for i, at := range times {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(out, int64(at), 10)
	}
	return append(out, ']')
}

// appendColumn appends numbers; NaN and infinities are null.
func appendColumn(out []byte, name string, values []float64) []byte {
	out = append(out, ',', '"')
	out = append(out, name...)
	out = append(out, `":[`...)
	for i, v := range values {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendNumber(out, v)
	}
	return append(out, ']')
}

func appendNumber(out []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(out, "null"...)
	}
	// Counts and switches are frequent, and whole numbers are much cheaper to format. From a
	// million on, 'g' writes an exponent; zero may be negative.
	const exponent = 1_000_000
	if n := int64(v); float64(n) == v && n != 0 && -exponent < n && n < exponent {
		return strconv.AppendInt(out, n, 10)
	}
	return strconv.AppendFloat(out, v, 'g', -1, 64)
}

func respondColumns(c *call, body []byte) error {
	header := c.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	c.w.WriteHeader(http.StatusOK)
	_, err := c.w.Write(body)
	return err
}

type latestDocument struct {
	Device telemetry.DeviceName `json:"device"`
	Metric telemetry.MetricName `json:"metric"`
	Unit   string               `json:"unit"`
	Time   telemetry.Micros     `json:"time"`
	// Value is null for an event without one.
	Value   *float64 `json:"value"`
	Quality string   `json:"quality"`
	// Age is the time from the reading to the response, by the platform's clock.
	Age float64 `json:"age_seconds"`
}

func (h *Handler) getLatest(c *call) error {
	q, values := readings.LatestQuery{Site: c.site(), Until: c.now}, c.values
	var err error
	if q.Gateway, err = nameParameter[telemetry.GatewayID](values, "gateway", true); err != nil {
		return err
	}
	if q.Device, err = nameParameter[telemetry.DeviceName](values, "device", false); err != nil {
		return err
	}
	if q.Metric, err = nameParameter[telemetry.MetricName](values, "metric", false); err != nil {
		return err
	}
	list := "latest\x01" + string(q.Site) + "\x01" + string(q.Gateway)
	page, err := pageParameters(values, list)
	if err != nil {
		return err
	}
	if q.Limit = page.Limit; page.After != "" {
		if q.After, err = splitSeries(page.After); err != nil {
			return err
		}
	}
	latest, err := h.config.Readings.Latest(c.Context(), q)
	if err != nil {
		return err
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return respondPage(c, list, page, latest, func(l readings.Latest) any {
		age := readings.Range{From: l.Time, To: telemetry.MicrosOf(c.now)}.Seconds()
		value := &l.Value
		if math.IsNaN(l.Value) || math.IsInf(l.Value, 0) {
			value = nil
		}
		return latestDocument{l.Device, l.Metric, l.Unit, l.Time, value, l.Quality.String(), age}
	}, joinSeries)
}

// joinSeries returns the key of a series in a cursor. Names have no control characters.
func joinSeries(l readings.Latest) string { return string(l.Device) + "\x02" + string(l.Metric) }

func splitSeries(key string) (s readings.Series, err error) {
	device, metric, ok := strings.Cut(key, "\x02")
	if !ok || !utf8.ValidString(key) || telemetry.ValidName(device) != nil || telemetry.ValidName(metric) != nil {
		return s, foreignCursor()
	}
	return readings.Series{Device: telemetry.DeviceName(device), Metric: telemetry.MetricName(metric)}, nil
}

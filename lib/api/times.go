package api

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// The times of all requests are read here: RFC 3339, or microseconds since 1970.

const (
	// maxTime bounds the times of a request: 2200-01-01T00:00:00Z.
	maxTime telemetry.Micros = 7_258_118_400_000_000
	// From y2000 to y2050, 2000-01-01T00:00:00Z and 2050-01-01T00:00:00Z, lies what people ask
	// for. A number that would be such a time in seconds or milliseconds is one: as
	// microseconds it would be in the first 42 minutes, or from 11 to 30 January, of 1970.
	y2000 telemetry.Micros = 946_684_800_000_000
	y2050 telemetry.Micros = 2_524_608_000_000_000
	// defaultSpan is the length of the range when from is missing.
	defaultSpan = time.Hour
)

// rangeParameters reads from and to; the default is the last hour.
func rangeParameters(values url.Values, now time.Time) (readings.Range, error) {
	r := readings.Range{To: telemetry.MicrosOf(now)}
	if text := values.Get("to"); text != "" {
		to, problem := parseTime(text)
		if problem != "" {
			return r, badRequest("Parameter %q %s", "to", lambdahttp.Sentence(problem))
		}
		r.To = to
	}
	r.From = max(r.To-telemetry.Micros(defaultSpan.Microseconds()), 0)
	if text := values.Get("from"); text != "" {
		from, problem := parseTime(text)
		if problem != "" {
			return r, badRequest("Parameter %q %s", "from", lambdahttp.Sentence(problem))
		}
		r.From = from
	}
	if r.From >= r.To {
		return r, badRequest(`Parameter "from" must be before "to".`)
	}
	return r, nil
}

// timeField reads a time; an empty text is the zero time.
func timeField(f *fields, name, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	at, problem := parseTime(text)
	f.require(problem == "", name, problem)
	return at.Time()
}

// parseTime reads RFC 3339 or microseconds since 1970, or says what is wrong. In a query, a
// plus sign that is not escaped is decoded as a space.
//
// A number that looks like another unit is a mistake: the response to it would be empty.
// Who means such a time of 1970 writes RFC 3339. 0 is the beginning.
func parseTime(text string) (at telemetry.Micros, problem string) {
	const want = "must be a time from 1970 to 2200: RFC 3339, such as 2026-03-01T06:00:00Z, or microseconds since 1970"
	n, err := strconv.ParseInt(text, 10, 64)
	if at = telemetry.Micros(n); err == nil && at >= y2000 && at <= maxTime {
		return at, ""
	}
	// A fraction too: Python's time.time() has one.
	x, isNumber := strconv.ParseFloat(text, 64)
	if isNumber == nil && x > -1<<62 && x < 1<<62 {
		if unit, likely := telemetry.GuessUnit(int64(x), y2000, y2050); unit != "" {
			return 0, fmt.Sprintf("looks like %s; times are microseconds since 1970: %d?", unit, likely)
		}
	}
	if err == nil && at >= 0 && at <= maxTime {
		return at, ""
	}
	t, err := time.Parse(time.RFC3339Nano, strings.Replace(text, " ", "+", 1))
	if err != nil || t.Year() < 1969 || t.Year() > 2200 {
		return 0, want
	}
	if at = telemetry.MicrosOf(t); at < 0 || at > maxTime {
		return 0, want
	}
	return at, ""
}

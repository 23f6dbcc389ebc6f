package api

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestParseTime(t *testing.T) {
	t.Parallel()
	const want = "must be a time from 1970 to 2200"
	for text, c := range map[string]struct {
		at      telemetry.Micros
		problem string // how it begins
	}{
		"1795425713123456":             {at: 1795425713123456},
		"2026-11-23T09:21:53.123456Z":  {at: 1795425713123456},
		"2026-11-23T10:21:53+01:00":    {at: 1795425713000000},
		"2026-11-23T10:21:53 01:00":    {at: 1795425713000000}, // an unescaped plus
		"0":                            {at: 0},                // from the beginning
		"1":                            {at: 1},
		"2524608000":                   {problem: "looks like seconds; times are microseconds since 1970: 2524608000000000?"},
		"3600000000":                   {at: 3600000000},     // an hour; as seconds 2084
		"2678400000001":                {at: 2678400000001},  // 31 days; as milliseconds 2054
		"86400000000":                  {at: 86_400_000_000}, // 2 January 1970
		"946684799999":                 {at: 946684799999},   // 1999 in ms
		"1795425713":                   {problem: "looks like seconds; times are microseconds since 1970: 1795425713000000?"},
		"1795425713.123":               {problem: "looks like seconds; times are microseconds since 1970: 1795425713000000?"},
		"1795425713123":                {problem: "looks like milliseconds; times are microseconds since 1970: 1795425713123000?"},
		"1795425713123456789":          {problem: "looks like nanoseconds; times are microseconds since 1970: 1795425713123456?"},
		"134398993131234560":           {problem: "looks like a Windows file time"},
		"1970-01-21T18:43:45.713123Z":  {at: 1795425713123}, // nobody writes that by mistake
		"7258118400000000":             {at: maxTime},
		"7258118400000001":             {problem: want},
		"-1":                           {problem: want},
		"1.795425713123456e15":         {problem: want},
		"99999999999999999999999":      {problem: want},
		"NaN":                          {problem: want},
		"yesterday":                    {problem: want},
		"1969-12-31T23:59:59.999Z":     {problem: want},
		"2200-01-01T00:00:00.0000001Z": {at: maxTime},
	} {
		at, problem := parseTime(text)
		if problem != "" {
			at = 0
		}
		if at != c.at || !strings.HasPrefix(problem, c.problem) || c.problem == "" && problem != "" {
			t.Errorf("%s: got %d and %q, want %d and %q", text, at, problem, c.at, c.problem)
		}
	}
}

// TestTimesInRequests: every request with a time says what it looks like.
func TestTimesInRequests(t *testing.T) {
	t.Parallel()
	const hint = "looks like milliseconds; times are microseconds since 1970: 1795425713123000?"
	for _, name := range []string{"from", "to"} {
		_, err := rangeParameters(url.Values{name: {"1795425713123"}}, time.Now())
		if err == nil || !strings.HasSuffix(err.Error(), `"`+name+`" `+hint) {
			t.Errorf("%s: got %v", name, err)
		}
		_, err = anomalyFilter(url.Values{name: {"1795425713123"}}, "s", directory.Page{})
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s of anomalies: got %v", name, err)
		}
		for _, value := range []string{`1795425713123`, `"1795425713123"`} {
			var request exportRequest
			err := lambdahttp.Decode([]byte(`{"`+name+`":`+value+`}`), &request, false)
			if err == nil || !strings.HasSuffix(err.Error(), `member "`+name+`" `+hint) {
				t.Errorf("%s of an export: got %v", name, err)
			}
		}
	}
	var request exportRequest
	if err := json.Unmarshal([]byte(`{"from":0,"to":1795425713123456}`), &request); err != nil || request.To != 1795425713123456 {
		t.Errorf("got %v and %+v", err, request)
	}
}

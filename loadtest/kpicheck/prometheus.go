package kpicheck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Server is the URL of a Prometheus server, without a trailing slash.
type Server string

// Series is one series of a query's result, with its samples by their time in ms.
type Series struct {
	Labels  map[string]string
	Samples map[int64]float64
}

// Query evaluates an expression at the server's current time. A range selector such as
// x[1h] returns all samples of the range.
func (s Server) Query(ctx context.Context, expr string) ([]Series, error) {
	all, err := s.query(ctx, expr)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", expr, err)
	}
	return all, nil
}

func (s Server) query(ctx context.Context, expr string) ([]Series, error) {
	target := string(s) + "/api/v1/query?" + url.Values{"query": {expr}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	var response struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Value  *sample
				Values []sample
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&response); err != nil {
		return nil, err
	}
	if response.Error != "" {
		return nil, errors.New(response.Error)
	}
	out := make([]Series, 0, len(response.Data.Result))
	for _, r := range response.Data.Result {
		one := Series{Labels: r.Metric, Samples: make(map[int64]float64, len(r.Values))}
		if r.Value != nil {
			r.Values = append(r.Values, *r.Value)
		}
		for _, v := range r.Values {
			if _, twice := one.Samples[v.at]; twice {
				return nil, fmt.Errorf("%v has two samples at %d", r.Metric, v.at)
			}
			one.Samples[v.at] = v.value
		}
		out = append(out, one)
	}
	return out, nil
}

// sample is [seconds, "value"] in JSON.
type sample struct {
	at    int64 // ms
	value float64
}

func (s *sample) UnmarshalJSON(raw []byte) error {
	var seconds float64
	var text string
	if err := json.Unmarshal(raw, &[]any{&seconds, &text}); err != nil {
		return err
	}
	var err error
	s.at = int64(math.Round(seconds * 1000))
	s.value, err = strconv.ParseFloat(text, 64)
	return err
}

// FromPrometheus returns the samples that the server has for the gateways' windows that
// ended in the last hour and by until (s).
func FromPrometheus(ctx context.Context, server Server, gateways []string, until int64) (Samples, error) {
	all, err := server.Query(ctx, fmt.Sprintf(`{__name__=~"insighthub_(window_.*|series_.*|freshness_seconds)",gateway=~%q}[1h]`,
		strings.Join(gateways, "|")))
	if err != nil {
		return nil, err
	}
	out := make(Samples)
	for _, one := range all {
		l := one.Labels
		for at, value := range one.Samples {
			if at%1000 != 0 {
				return nil, fmt.Errorf("%v has a sample at %d ms, want whole seconds as windows end on them", l, at)
			}
			if at/1000 <= until {
				name := strings.TrimPrefix(l["__name__"], "insighthub_")
				out[Key{name, l["gateway"], l["device"], l["metric"], l["reason"], at / 1000}] = value
			}
		}
	}
	return out, nil
}

// Newest returns, by gateway, the end (s) of the newest window that the server has a
// sample of, within the last five minutes.
func Newest(ctx context.Context, server Server, gateways []string) (map[string]int64, error) {
	all, err := server.Query(ctx, fmt.Sprintf(`timestamp(insighthub_window_events{gateway=~%q})`, strings.Join(gateways, "|")))
	if err != nil {
		return nil, err
	}
	out := make(map[string]int64, len(all))
	for _, one := range all {
		for _, end := range one.Samples {
			out[one.Labels["gateway"]] = int64(end)
		}
	}
	return out, nil
}

package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/cdk/local/template"
	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

// series is one series of a query's result: samples by their time in ms.
type series struct {
	labels  map[string]string
	samples map[int64]string
}

// query runs an instant query in Prometheus; a range selector, as x[1h], returns all samples.
func query(ctx context.Context, address, expr string) ([]series, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/api/v1/query?"+url.Values{"query": {expr}}.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("query %s: %s", expr, answer.Error)
	}
	var all []series
	for _, r := range answer.Data.Result {
		s := series{labels: r.Metric, samples: make(map[int64]string)}
		if r.Value[0] != nil {
			r.Values = append(r.Values, r.Value)
		}
		for _, v := range r.Values {
			seconds, _ := v[0].(float64)
			s.samples[int64(seconds*1000+0.5)], _ = v[1].(string)
		}
		all = append(all, s)
	}
	return all, nil
}

// await42 waits for the result of the rule in the sample assembly.
func await42(t *testing.T, address string) {
	t.Helper()
	eventually.NoError(t, "example:answer at "+address, func() error {
		all, err := query(t.Context(), address, "example:answer")
		if err == nil && len(all) != 1 {
			err = fmt.Errorf("%d series", len(all))
		}
		if err != nil {
			return err
		}
		for _, value := range all[0].samples {
			if value != "42" {
				t.Fatalf("example:answer is %s, want 42", value)
			}
		}
		return nil
	})
}

// TestFunctionsGetPrometheusURLs checks the functions' variables.
func TestFunctionsGetPrometheusURLs(t *testing.T) {
	t.Parallel()
	cfg := Config{State: t.TempDir(), Database: pgtest.NewDatabase(t), Functions: build(t).functions}
	s := startTest(t, cfg)
	env := s.environment(template.Function{Env: map[string]string{
		"WRITE": s.plan.Workspaces[0].RemoteWrite(), "READ": s.plan.Workspaces[0].Endpoint + "api/v1/query", "OTHER": "as it is",
		"REMOTE_WRITE_SIGV4": "true",
	}})
	for _, want := range []string{
		"WRITE=" + s.Info().Prometheus + "/api/v1/write", "READ=" + s.Info().Prometheus + "/api/v1/query",
		"OTHER=as it is", "REMOTE_WRITE_SIGV4=false",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("the environment lacks %s: %s", want, strings.Join(env, " "))
		}
	}
}

// Package describe creates the site of a simulated fleet and sets the units of its metrics
// through the API, as an administrator would.
package describe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Config configures LogIn.
type Config struct {
	URL            string // of the API
	Name, Password string // of an administrator
	Client         *http.Client
	// Interval is the time between two polls for metrics that do not exist yet.
	Interval time.Duration
}

// Describer is an API client with an access token.
type Describer struct {
	config Config
	token  string
}

// LogIn logs in. The Describer works until the access token expires.
func LogIn(ctx context.Context, config Config) (*Describer, error) {
	d := &Describer{config: config}
	var session struct {
		Token string `json:"access_token"`
	}
	status, err := d.do(ctx, http.MethodPost, "/v1/login", map[string]string{"name": config.Name, "password": config.Password}, &session)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("log in as %s: status %d", config.Name, status)
	}
	d.token = session.Token
	return d, nil
}

// Site creates the site unless it exists.
func (d *Describer) Site(ctx context.Context, name, title string) error {
	status, err := d.do(ctx, http.MethodPost, "/v1/sites", map[string]string{"name": name, "title": title}, nil)
	if err == nil && status != http.StatusCreated && status != http.StatusConflict {
		err = fmt.Errorf("create site %s: status %d", name, status)
	}
	return err
}

// Units sets the units of a gateway's metrics, UCUM codes by metric. A metric is created by
// its first event: Units polls until all of them exist or ctx ends. It does not replace a unit.
func (d *Describer) Units(ctx context.Context, site, gateway string, units map[string]string) error {
	metrics := "/v1/sites/" + url.PathEscape(site) + "/gateways/" + url.PathEscape(gateway) + "/metrics"
	missing := make(map[string]bool, len(units))
	for name := range units {
		missing[name] = true
	}
	for {
		var page struct {
			Items []struct {
				Name  string `json:"name"`
				Title string `json:"title"`
				Unit  string `json:"unit"`
			} `json:"items"`
		}
		status, err := d.do(ctx, http.MethodGet, metrics+"?limit=1000", nil, &page)
		if err == nil && status != http.StatusOK && status != http.StatusNotFound { // 404 before the gateway's first event
			err = fmt.Errorf("metrics of %s: status %d", gateway, status)
		}
		if err != nil {
			return err
		}
		for _, m := range page.Items {
			if !missing[m.Name] {
				continue
			}
			if m.Unit == "" && units[m.Name] != "" {
				change := map[string]string{"title": m.Title, "unit": units[m.Name]}
				status, err = d.do(ctx, http.MethodPut, metrics+"/"+url.PathEscape(m.Name), change, nil)
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("unit of %s of %s: status %d", m.Name, gateway, status)
				}
				if err != nil {
					return err
				}
			}
			delete(missing, m.Name)
		}
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d.config.Interval):
		}
	}
}

// do sends a request and decodes the response into out if its status is 200.
func (d *Describer) do(ctx context.Context, method, path string, body, out any) (int, error) {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		reader = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, d.config.URL+path, reader)
	if err != nil {
		return 0, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPut {
		request.Header.Set("If-Match", "*")
	}
	if d.token != "" {
		request.Header.Set("Authorization", "Bearer "+d.token)
	}
	response, err := d.config.Client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer response.Body.Close() //nolint:errcheck // read
	raw, err := io.ReadAll(response.Body)
	if err == nil && out != nil && response.StatusCode == http.StatusOK {
		err = json.Unmarshal(raw, out)
	}
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return response.StatusCode, nil
}

// Package describe tells a stack's API what a simulated fleet is, as an
// administrator of real machines would: that the site exists, and which unit each
// metric has.
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

// Config names the stack and the account to speak as.
type Config struct {
	URL            string // of the API
	Name, Password string // of an administrator
	Client         *http.Client
	// Interval is how long to wait before asking again for what is not there yet.
	Interval time.Duration
}

// Describer is logged in.
type Describer struct {
	config Config
	token  string
}

// LogIn logs in; the access token's life bounds the Describer's.
func LogIn(ctx context.Context, config Config) (*Describer, error) {
	d := &Describer{config: config}
	var session struct {
		Token string `json:"access_token"`
	}
	status, err := d.ask(ctx, http.MethodPost, "/v1/login", map[string]string{"name": config.Name, "password": config.Password}, &session)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("log in as %s: status %d", config.Name, status)
	}
	d.token = session.Token
	return d, nil
}

// Site makes the site unless it is there.
func (d *Describer) Site(ctx context.Context, name, title string) error {
	status, err := d.ask(ctx, http.MethodPost, "/v1/sites", map[string]string{"name": name, "title": title}, nil)
	if err == nil && status != http.StatusCreated && status != http.StatusConflict {
		err = fmt.Errorf("make site %s: status %d", name, status)
	}
	return err
}

// Units gives the metrics of a gateway their units, UCUM codes by metric. Metrics
// come into being with their first event: it asks until all of them are there, or
// ctx ends. A metric that has a unit keeps it.
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
		status, err := d.ask(ctx, http.MethodGet, metrics+"?limit=1000", nil, &page)
		if err == nil && status != http.StatusOK && status != http.StatusNotFound { // not there before its first event
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
				if status, err = d.ask(ctx, http.MethodPut, metrics+"/"+url.PathEscape(m.Name), change, nil); err == nil && status != http.StatusOK {
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

// ask sends a request and reads its answer into reply when that is a success.
func (d *Describer) ask(ctx context.Context, method, path string, body, reply any) (int, error) {
	var sent io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		sent = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, d.config.URL+path, sent)
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
	answer, err := d.config.Client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer answer.Body.Close() //nolint:errcheck // read
	raw, err := io.ReadAll(answer.Body)
	if err == nil && reply != nil && answer.StatusCode == http.StatusOK {
		err = json.Unmarshal(raw, reply)
	}
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return answer.StatusCode, nil
}

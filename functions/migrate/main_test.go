package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/lambda/metrics/metricstest"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

func TestInvoke(t *testing.T) {
	const done = `{"PhysicalResourceId":"insighthub-schema","Data":{"Flavour":"plain","Licence":"none","Version":"2"}}`
	for name, c := range map[string]struct {
		payload, want string
		migrates      bool
		err           error
	}{
		"plain":  {payload: `{}`, want: done, migrates: true},
		"create": {payload: `{"RequestType":"Create","ResourceProperties":{"x":"1"}}`, want: done, migrates: true},
		"update": {payload: `{"RequestType":"Update","PhysicalResourceId":"insighthub-schema"}`, want: done, migrates: true},
		"delete": {
			payload: `{"RequestType":"Delete","PhysicalResourceId":"other"}`,
			want:    `{"PhysicalResourceId":"other","Data":null}`,
		},
		"unknown type": {payload: `{"RequestType":"Drop"}`, err: telemetry.ErrInvalid},
		"not JSON":     {payload: `nonsense`, err: telemetry.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			migrated := false
			h := &handler{log: slog.New(slog.DiscardHandler), migrate: func(context.Context) (timescale.Migrated, error) {
				migrated = true
				return timescale.Migrated{Version: 2, Flavour: timescale.FlavourPlain, Licence: timescale.LicenceNone}, nil
			}}
			got, err := h.Invoke(t.Context(), []byte(c.payload))
			if !errors.Is(err, c.err) || string(got) != c.want || migrated != c.migrates {
				t.Errorf("got %s, %v, migrated %v; want %s, %v, %v", got, err, migrated, c.want, c.err, c.migrates)
			}
		})
	}
}

func TestInvokeFailsTheDeployment(t *testing.T) {
	h := &handler{log: slog.New(slog.DiscardHandler), migrate: func(context.Context) (timescale.Migrated, error) {
		return timescale.Migrated{}, telemetry.ErrUnavailable
	}}
	if _, err := h.Invoke(t.Context(), []byte(`{}`)); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("error = %v, want ErrUnavailable", err)
	}
}

func TestBuildNamesMissingVariables(t *testing.T) {
	_, err := lambdahost.New(t.Context(), func(string) string { return "" }, slog.New(slog.DiscardHandler), build)
	if err == nil || !strings.Contains(err.Error(), "DATABASE_SECRET_ARN") {
		t.Errorf("error = %v, want one that names DATABASE_SECRET_ARN", err)
	}
}

func TestMetrics(t *testing.T) {
	values := map[string]string{
		"DATABASE_SECRET_ARN": "arn:secret", "ADMIN_SECRET_ARN": "arn:admin", "AWS_REGION": "eu-west-1",
		"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
	}
	for _, function := range timescale.Functions() {
		values[roleVariable(function)] = "arn:" + function
	}
	instance, err := lambdahost.New(t.Context(), func(name string) string { return values[name] }, slog.New(slog.DiscardHandler), build)
	if err != nil {
		t.Fatal(err)
	}
	metricstest.Check(t, instance, "insighthub_invocations_total")
}

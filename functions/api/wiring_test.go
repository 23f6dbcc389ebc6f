package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/aws/secrets"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

func TestICEServers(t *testing.T) {
	t.Parallel()
	ice, err := iceServers(t.Context(), iceSettings{stun: "stun:a.test:3478 stuns:b.test"}, nil)
	if err != nil || len(ice.STUN) != 2 || len(ice.TURN) > 0 {
		t.Errorf("got %+v, %v", ice, err)
	}
	for _, bad := range []iceSettings{{stun: "http://a.test"}, {turn: "turn:"}, {turn: "turn:a.test"}, {secretARN: "arn"}} {
		if _, err := iceServers(t.Context(), bad, nil); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%+v: got %v, want telemetry.ErrInvalid", bad, err)
		}
	}
}

// vault is a Secrets Manager with one secret.
type vault string

func (v vault) GetSecretValue(
	context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options),
) (*secretsmanager.GetSecretValueOutput, error) {
	return &secretsmanager.GetSecretValueOutput{SecretString: aws.String(string(v))}, nil
}

// TestTURNSecret: a line end at the end of the secret is none of it, and an empty secret is an
// error at the start, not a list without TURN.
func TestTURNSecret(t *testing.T) {
	t.Parallel()
	settings := iceSettings{turn: "turn:a.test", secretARN: "arn"}
	for _, text := range []string{"shared", "shared\n", "shared\r\n"} {
		if ice, err := iceServers(t.Context(), settings, secrets.NewFromClient(vault(text))); err != nil || string(ice.Secret) != "shared" {
			t.Errorf("%q: got %q, %v", text, ice.Secret, err)
		}
	}
	if _, err := iceServers(t.Context(), settings, secrets.NewFromClient(vault("\n"))); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("empty: got %v, want telemetry.ErrInvalid", err)
	}
}

// TestICECredentials checks that TURN has credentials and STUN has none, for the people and
// the gateways of the site alone.
func TestICECredentials(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	const path = "/v1/sites/plant-1/ice-servers"
	const lifetime = 10 * time.Minute
	for _, c := range []struct {
		caller *lambdahttp.Caller
		user   string
	}{
		{apitest.Person("eve", "plant-1=viewer"), "eve"},
		{apitest.Administrator(), "ada"},
		{apitest.Gateway("gw-1", "plant-1"), "gw-1"},
		{apitest.Gateway("Halle: Süd", "plant-1"), "sha256-2b359774f11124c7cffa208b12677ac6"},
	} {
		var got struct {
			Servers []struct {
				URLs       []string `json:"urls"`
				Username   string   `json:"username"`
				Credential string   `json:"credential"`
			} `json:"ice_servers"`
			Expires int `json:"expires_in"`
		}
		before := time.Now()
		p.get(t, c.caller, path, &got)
		if len(got.Servers) != 2 || got.Servers[0].URLs[0] != "stun:stun.test:3478" || got.Servers[0].Username != "" ||
			got.Servers[1].URLs[0] != "turn:turn.test:3478" || got.Expires != int(lifetime.Seconds()) {
			t.Fatalf("%s: got %+v, want STUN without and TURN with credentials", c.user, got)
		}
		at, user, _ := strings.Cut(got.Servers[1].Username, ":")
		seconds, err := strconv.ParseInt(at, 10, 64)
		expires := time.Unix(seconds, 0)
		if err != nil || user != c.user || expires.Before(before.Add(lifetime-time.Second)) || expires.After(time.Now().Add(lifetime)) {
			t.Errorf("got the user name %q, want that of %s with the time in %v", got.Servers[1].Username, c.user, lifetime)
		}
		mac := hmac.New(sha1.New, testICE().Secret)
		mac.Write([]byte(got.Servers[1].Username))
		if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); got.Servers[1].Credential != want {
			t.Errorf("%s: got the credential %q, want %q", c.user, got.Servers[1].Credential, want)
		}
	}
	p.Do(t, apitest.Person("eve", "plant-2=viewer"), "GET", path, "").Want(t, 404)
	p.Do(t, apitest.Gateway("gw-2", "plant-2"), "GET", path, "").Want(t, 404)
	// It opens nothing else to gateways.
	for _, path := range []string{
		"/v1/sites/plant-1", "/v1/sites/plant-1/gateways", "/v1/sites/plant-1/readings", "/v1/sites//ice-servers",
	} {
		p.Do(t, apitest.Gateway("gw-1", "plant-1"), "GET", path, "").Want(t, 404)
	}
	p.Do(t, apitest.Gateway("gw-1", "plant-1"), "POST", "/v1/sites/plant-1/client-reports", `{}`).Want(t, 404)
}

// TestNoICEServers: a stage without servers says so.
func TestNoICEServers(t *testing.T) {
	t.Parallel()
	pool, dsn := timescaletest.OpenAs(t, timescale.FunctionAPI)
	handler := wire(pool, slog.New(slog.DiscardHandler), services{files: exportBucket(t), kpis: &fakeKPIs{}})
	p := &platform{apitest.New(t, pool, dsn, handler), nil}
	p.site(t, "plant-1")
	got := p.Do(t, apitest.Gateway("gw-1", "plant-1"), "GET", "/v1/sites/plant-1/ice-servers", "").Want(t, 200)
	if want := `{"expires_in":600,"ice_servers":[]}`; strings.TrimSpace(got.Body) != want {
		t.Errorf("got %s, want %s", got.Body, want)
	}
}

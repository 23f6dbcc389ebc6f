package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/token"
)

func environment(endpoint string) map[string]string {
	return map[string]string{
		"TOKEN_SECRET_ARN": "arn:secret", "AWS_ENDPOINT_URL_SECRETS_MANAGER": endpoint,
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
	}
}

// TestFunction builds the function from its environment and lets it read its
// secret through the SDK's client.
func TestFunction(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("only in this test ", 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" || !strings.Contains(string(body), `"arn:secret"`) {
			t.Errorf("call %s %s, %v", r.Header.Get("X-Amz-Target"), body, err)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(map[string]string{"ARN": "arn:secret", "Name": "token", "SecretString": secret})
	}))
	defer server.Close()
	values := environment(server.URL)
	handler, err := build(func(name string) string { return values[name] }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	claims := token.Claims{Gateway: "gw-1", Site: "plant-1", Role: token.Gateway}
	text, err := token.Mint([]byte(secret), claims, time.Minute, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]string{
		"Bearer " + text:       `{"isAuthorized":true,"context":{"gateway":"gw-1","site":"plant-1","role":"gateway"}}`,
		"Bearer " + text + "x": `{"isAuthorized":false}`,
	} {
		got, err := handler.Invoke(t.Context(), []byte(`{"version":"2.0","type":"REQUEST","identitySource":["`+header+`"]}`))
		if err != nil || string(got) != want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
	}
}

func TestBuildNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"TOKEN_SECRET_ARN", "AWS_REGION"} {
		values := environment("")
		delete(values, name)
		_, err := build(func(name string) string { return values[name] }, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: got %v", name, err)
		}
	}
}

package config_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
)

// TestLoadTask: requests are signed with the credentials that the container's agent gives.
func TestLoadTask(t *testing.T) {
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/credentials/1" {
			_, _ = io.WriteString(w,
				`{"AccessKeyId":"ASIATASK","SecretAccessKey":"s","Token":"session","Expiration":"2099-01-01T00:00:00Z"}`)
			return
		}
		got = r.Header.Clone()
		_, _ = io.WriteString(w, `{}`)
	}))
	defer server.Close()
	env := map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": server.URL,
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.URL + "/v2/credentials/1",
	}
	cfg, err := awsconfig.LoadTask(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if a := got.Get("Authorization"); !strings.Contains(a, "Credential=ASIATASK/") || got.Get("X-Amz-Security-Token") != "session" {
		t.Errorf("got authorization %q", a)
	}
	// Elsewhere it is Load.
	if _, err := awsconfig.LoadTask(environment(nil)); err != nil {
		t.Error(err)
	}
	env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "://"
	if _, err := awsconfig.LoadTask(func(name string) string { return env[name] }); err == nil {
		t.Error("an agent without a valid URL was accepted")
	}
}

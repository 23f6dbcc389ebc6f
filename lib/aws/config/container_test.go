package config

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestContainerCredentials: the credentials of the task's role are fetched once while they are
// valid, again when they are about to expire, and no error shows what it read.
func TestContainerCredentials(t *testing.T) {
	t.Parallel()
	requests, status := 0, http.StatusOK
	expires := time.Now().Add(renewBefore + time.Hour)
	body := func() string {
		return fmt.Sprintf(`{"RoleArn":"r","AccessKeyId":"AKID%d","SecretAccessKey":"hidden-1","Token":"hidden-2","Expiration":%q}`,
			requests, expires.UTC().Format(time.RFC3339))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		if r.URL.Path != "/v2/credentials/hidden-3" {
			t.Errorf("path %s", r.URL.Path)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body())
	}))
	defer server.Close()
	provider := newContainerCredentials(server.URL, "/v2/credentials/hidden-3")
	for range 2 {
		got, err := provider.Retrieve(t.Context())
		if err != nil || got.AccessKeyID != "AKID1" || got.SecretAccessKey != "hidden-1" || got.SessionToken != "hidden-2" {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
	expires = time.Now().Add(renewBefore - time.Second) // is renewed at each use
	provider = newContainerCredentials(server.URL, "/v2/credentials/hidden-3")
	for want := range 2 {
		got, err := provider.Retrieve(t.Context())
		if err != nil || got.AccessKeyID != fmt.Sprintf("AKID%d", want+2) {
			t.Errorf("got %s, %v, want new credentials", got.AccessKeyID, err)
		}
	}
	for name, fail := range map[string]func(){
		"a status":                        func() { status = http.StatusInternalServerError },
		"a body without them":             func() { body = func() string { return `{"hidden-1":1}` } },
		"a body that is not JSON":         func() { body = func() string { return "hidden-1" } },
		"an endpoint that does not exist": server.Close,
	} {
		status = http.StatusOK
		fail()
		_, err := newContainerCredentials(server.URL, "/v2/credentials/hidden-3").Retrieve(t.Context())
		if err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v, want an error without secrets", name, err)
		}
	}
}

// TestLoadInAContainer: the path is used when there are no keys in the environment.
func TestLoadInAContainer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  map[string]string
		want string // of the error
	}{
		{map[string]string{"AWS_REGION": "eu-west-1", containerURI: "/v2/credentials/x"}, ""},
		{map[string]string{"AWS_REGION": "eu-west-1", containerURI: "@evil.example/x"}, containerURI + ": not a path"},
		{map[string]string{"AWS_REGION": "eu-west-1"}, "AWS_ACCESS_KEY_ID: not set"},
	} {
		_, err := Load(func(name string) string { return c.env[name] })
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.env, err, c.want)
		}
	}
}

package stackfile_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
)

const key = "arn:aws:kms:eu-west-1:000000000000:key/1"

// TestFile compares with the text of stack.json, whose members scripts read, too.
func TestFile(t *testing.T) {
	info := stackfile.Info{
		HTTP: "http://a", Database: "postgres://b", Kinesis: "http://c", Stream: "d", Objects: "http://e",
		Buckets: map[string]string{"FAILURE_BUCKET": "f"}, Prometheus: "http://g", KMS: "http://h", SigningKey: key,
		Issuer: "i", Audience: "j", AdminName: "k", AdminPassword: "l", Logs: "m",
		PIDs: stackfile.PIDs{Local: 1, Postgres: 2, Prometheus: 3, Functions: map[string][]int{"store": {4, 5}, "api": nil}},
	}
	want := map[string]any{
		"http": "http://a", "database": "postgres://b", "kinesis": "http://c", "stream": "d", "objects": "http://e",
		"buckets": map[string]any{"FAILURE_BUCKET": "f"}, "prometheus": "http://g", "kms": "http://h", "signing_key": key,
		"issuer": "i", "audience": "j", "admin_name": "k", "admin_password": "l", "logs": "m",
		"pids": map[string]any{"local": 1.0, "postgres": 2.0, "prometheus": 3.0, "store": []any{4.0, 5.0}, "api": nil},
	}
	state := t.TempDir()
	if err := stackfile.Write(state, info); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(state, "stack.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	read, err := stackfile.Read(state)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(info, read); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
}

func TestReadErrors(t *testing.T) {
	state := t.TempDir()
	if _, err := stackfile.Read(state); !errors.Is(err, stackfile.ErrNotRunning) || !strings.Contains(err.Error(), state) {
		t.Errorf("without a file: got %v, want %v and the folder", err, stackfile.ErrNotRunning)
	}
	for _, text := range []string{"{", `{"pids":7}`, `{"pids":{"local":"x"}}`, `{"pids":{"store":1}}`} {
		if err := os.WriteFile(filepath.Join(state, stackfile.Name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := stackfile.Read(state); err == nil || errors.Is(err, stackfile.ErrNotRunning) {
			t.Errorf("%s: got error %v, want one of the content", text, err)
		}
	}
}

func TestGetenv(t *testing.T) {
	info := stackfile.Info{
		HTTP: "http://a", Prometheus: "http://b", KMS: "http://c", Objects: "http://d", SigningKey: key, Issuer: "i",
		Audience: "j", Buckets: map[string]string{"STATE_BUCKET": "s"},
	}
	for name, want := range map[string]string{
		"API_URL": "http://a", "PROMETHEUS_URL": "http://b", "TOKEN_ISSUER": "i", "TOKEN_AUDIENCE": "j",
		"SIGNING_KEYS": `[{"key":"` + key + `"}]`,
		"AWS_REGION":   "eu-west-1", "AWS_ACCESS_KEY_ID": "local", "AWS_ENDPOINT_URL_KMS": "http://c", "AWS_ENDPOINT_URL_S3": "http://d",
		"AWS_S3_PATH_STYLE": "true", "STATE_BUCKET": "s", "HOME": "",
	} {
		if got := info.Getenv(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	var empty stackfile.Info
	for _, name := range []string{"SIGNING_KEYS", "AWS_REGION"} {
		if got := empty.Getenv(name); got != "" {
			t.Errorf("%s without a key: got %q, want none", name, got)
		}
	}
}

func TestMinter(t *testing.T) {
	if _, err := (stackfile.Info{KMS: "http://c", SigningKey: key, Issuer: "i", Audience: "j"}).Minter(time.Now); err != nil {
		t.Error(err)
	}
	for _, info := range []stackfile.Info{{}, {KMS: "http://c"}, {SigningKey: key}, {KMS: "http://c", SigningKey: "no ARN"}} {
		if _, err := info.Minter(time.Now); err == nil {
			t.Errorf("%+v: got no error", info)
		}
	}
}

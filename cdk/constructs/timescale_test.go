package constructs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// machine is what a database's machine reaches at its first boot: the metadata service and
// CloudFormation.
type machine struct {
	url     string
	signals []string
}

const imdsToken = "session"

func newMachine(t *testing.T) *machine {
	t.Helper()
	need(t, "python3")
	m := &machine{}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") == "" {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, imdsToken)
	})
	for path, text := range map[string]string{
		"/latest/meta-data/iam/security-credentials/":     "role",
		"/latest/meta-data/iam/security-credentials/role": `{"AccessKeyId":"AKID","SecretAccessKey":"secret/+","Token":"to=ken"}`,
		"/latest/meta-data/instance-id":                   "i-0123",
	} {
		if strings.HasSuffix(path, "/") {
			path += "{$}"
		}
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-aws-ec2-metadata-token") != imdsToken {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = io.WriteString(w, text)
		})
	}
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if want := sign(t, r, body); r.Header.Get("Authorization") != want {
			t.Errorf("authorization %q, want %q", r.Header.Get("Authorization"), want)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			t.Error(err)
		}
		m.signals = append(m.signals, strings.Join([]string{
			form.Get("Action"), form.Get("StackName"), form.Get("LogicalResourceId"), form.Get("UniqueId"), form.Get("Status"),
		}, " "))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	m.url = server.URL
	return m
}

// sign returns the Authorization header that AWS's own signer makes for the request.
func sign(t *testing.T, r *http.Request, body []byte) string {
	t.Helper()
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		t.Error(err)
	}
	again, err := http.NewRequestWithContext(t.Context(), r.Method, "http://"+r.Host+"/", bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return ""
	}
	again.Header.Set("Content-Type", r.Header.Get("Content-Type"))
	again.ContentLength = -1 // the script does not sign the length
	hash := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret/+", SessionToken: "to=ken"}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, again, hex.EncodeToString(hash[:]),
		"cloudformation", "eu-central-1", at); err != nil {
		t.Error(err)
	}
	return again.Header.Get("Authorization")
}

func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

// bash runs a script, in which the programs of the folder bin hide others.
func (m *machine) bash(t *testing.T, bin, script string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Env = []string{
		"PATH=" + bin + ":/usr/bin:/bin:/usr/sbin:/sbin", "STACK=InsightHub-Dev-Data", "GROUP=DatabaseGroupASG", "VOLUME=vol-1",
		"SECRET=arn:secret", "ZONE=Z", "NAME=db", "STAGE=dev", "CONNECTIONS=400", "AWS_DEFAULT_REGION=eu-central-1",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + m.url, "AWS_ENDPOINT_URL_CLOUDFORMATION=" + m.url,
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func stub(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/bash\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// TestScriptReportsFailureAtOnce ends the machine's script at its first commands, before
// anything is installed.
func TestScriptReportsFailureAtOnce(t *testing.T) {
	t.Parallel()
	for name, stubs := range map[string]map[string]string{
		"no cloud-init":         {"cloud-init": "exit 1"},
		"no way out":            {"cloud-init": "echo i-0123", "hostname": "echo 10.0.0.1", "apt-get": "exit 100", "sleep": ""},
		"package not available": {"cloud-init": "echo i-0123", "hostname": "echo 10.0.0.1", "apt-get": `[ "$2" = update ]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, bin := newMachine(t), t.TempDir()
			for program, script := range stubs {
				stub(t, bin, program, script)
			}
			out, err := m.bash(t, bin, timescaleScript)
			if err == nil {
				t.Errorf("the script ended without an error: %s", out)
			}
			if len(m.signals) != 1 || m.signals[0] != "SignalResource InsightHub-Dev-Data DatabaseGroupASG i-0123 FAILURE" {
				t.Errorf("signals %q, want one failure\n%s", m.signals, out)
			}
		})
	}
}

// function returns a function of the script.
func function(t *testing.T, name string) string {
	t.Helper()
	found := regexp.MustCompile(`(?ms)^` + name + `\(\) \{\n.*?^\}\n`).FindString(timescaleScript)
	if found == "" {
		t.Fatalf("the script has no function %s", name)
	}
	return found
}

// TestFormat gives the script volumes with a file system, without, with a damaged one, and
// an empty one in place of the volume with the database.
func TestFormat(t *testing.T) {
	t.Parallel()
	need(t, "blkid", "mkfs.ext4")
	const size = 20 << 20
	for name, c := range map[string]struct {
		prepare func(t *testing.T, volume string)
		tag     string // of the secret
		want    string // in the output; empty for success
		same    bool   // the volume is not changed
	}{
		"empty":                     {func(*testing.T, string) {}, "None", "", false},
		"empty, known as this":      {func(*testing.T, string) {}, "vol-1", "vol-1 is empty, but the database is on vol-1", true},
		"empty instead of another":  {func(*testing.T, string) {}, "vol-2", "vol-1 is empty, but the database is on vol-2", true},
		"file system":               {mkfs, "vol-1", "", true},
		"file system of a snapshot": {mkfs, "vol-2", "", true},
		"damaged file system": {func(t *testing.T, volume string) {
			t.Helper()
			mkfs(t, volume)
			write(t, volume, 1024, make([]byte, 1024)) // the superblock
		}, "vol-1", "not empty: it is not formatted", true},
		"partition table of something": {func(t *testing.T, volume string) {
			t.Helper()
			write(t, volume, 4096, []byte("unknown content"))
		}, "None", "not empty: it is not formatted", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bin, volume := t.TempDir(), filepath.Join(t.TempDir(), "volume")
			stub(t, bin, "aws", "echo "+c.tag)
			write(t, volume, size-1, []byte{0})
			c.prepare(t, volume)
			before := digest(t, volume)
			out, err := (&machine{}).bash(t, bin, "set -euo pipefail\n"+function(t, "fail")+function(t, "format")+"format "+volume)
			if (err == nil) != (c.want == "") || !strings.Contains(out, c.want) {
				t.Errorf("error %v, output %q, want %q", err, out, c.want)
			}
			if same := digest(t, volume) == before; same != c.same {
				t.Errorf("the volume is the same: %t, want %t", same, c.same)
			}
		})
	}
}

func mkfs(t *testing.T, volume string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", "-F", volume).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func write(t *testing.T, path string, at int64, content []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(content, at); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func digest(t *testing.T, path string) [sha256.Size]byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(content)
}

// TestScriptFits checks the limit of an instance's user data.
func TestScriptFits(t *testing.T) {
	t.Parallel()
	if n := len(timescaleScript); n > 15<<10 {
		t.Errorf("%d bytes of script, want at most 15 KiB of the 16 KiB of user data", n)
	}
}

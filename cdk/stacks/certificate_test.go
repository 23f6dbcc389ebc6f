package stacks_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
)

// TestDatabaseMachineClosesFunctions: the script has the statement that migrate runs as a
// superuser, which it is not in AWS.
func TestDatabaseMachineClosesFunctions(t *testing.T) {
	script, err := os.ReadFile("../constructs/timescale.sh")
	if err != nil {
		t.Fatal(err)
	}
	closed, err := os.ReadFile("../../lib/timescale/closed.sql")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(script), string(closed)) {
		t.Error("timescale.sh lacks the statement of lib/timescale/closed.sql")
	}
	// EC2 accepts 16 KB of user data; some variables precede the script.
	if len(script) > 15<<10 {
		t.Errorf("timescale.sh has %d bytes, want at most %d", len(script), 15<<10)
	}
}

// TestDatabaseCertificate runs the part of the database machine's script that makes its
// certificate: clients that know the authority accept it for the name, before and after a
// renewal, and the authority stays.
func TestDatabaseCertificate(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl")
	}
	raw, err := os.ReadFile("../constructs/timescale.sh")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(raw), "insighthub-certificate <<'SCRIPT'\n")
	script, _, ended := strings.Cut(rest, "\nSCRIPT\n")
	if !found || !ended {
		t.Fatal("timescale.sh has no script insighthub-certificate")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	folder, cluster, name := filepath.Join(dir, "tls"), filepath.Join(dir, "cluster"), "db.dev.insighthub.internal"
	if err := os.Mkdir(cluster, 0o700); err != nil {
		t.Fatal(err)
	}
	read := func(path string) []byte {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	var authority, certificate string
	for range 2 {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", script, "insighthub-certificate", folder, cluster, name)
		cmd.Env = append(os.Environ(), "OWNER="+me.Username)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		ca, server := read(filepath.Join(folder, "ca.crt")), read(filepath.Join(cluster, "server.crt"))
		if authority != "" && (authority != string(ca) || certificate == string(server)) {
			t.Error("want the authority of before, and a new certificate")
		}
		authority, certificate = string(ca), string(server)
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		block, _ := pem.Decode(server)
		if block == nil {
			t.Fatal("the server's certificate is not in PEM")
		}
		parsed, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Error(err)
		}
		if _, err := parsed.Verify(x509.VerifyOptions{Roots: roots, DNSName: "db.prod.insighthub.internal"}); err == nil {
			t.Error("the certificate is accepted for another name")
		}
		for _, key := range []string{filepath.Join(folder, "ca.key"), filepath.Join(cluster, "server.key")} {
			if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v, want a file that only its owner reads", key, info, err)
			}
		}
	}
}

package timescale

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// authority signs certificates of servers.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{certificate: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-48 * time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, a.certificate, a.certificate, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// issue returns a certificate for a name or address, which expires.
func (a *authority) issue(t *testing.T, name string, expires time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: expires,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serveTLS answers SSLRequest (PostgreSQL's manual, 53.2.11) with yes, or no without a
// certificate, and rejects the login.
func serveTLS(t *testing.T, certificate *tls.Certificate) (port string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	serve := func(conn net.Conn) {
		defer conn.Close()
		if _, err := io.ReadFull(conn, make([]byte, 8)); err != nil {
			return
		}
		if certificate == nil {
			_, _ = conn.Write([]byte("N"))
			return
		}
		_, _ = conn.Write([]byte("S"))
		secured := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS13})
		if secured.HandshakeContext(t.Context()) != nil {
			return
		}
		_, _ = secured.Read(make([]byte, 1024)) // the startup message
		const rejected = "SFATAL\x00C28P01\x00Mpassword authentication failed\x00\x00"
		_, _ = secured.Write(append([]byte{'E', 0, 0, 0, byte(len(rejected) + 4)}, rejected...))
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestServerMustProveWhoItIs: a server of another name or authority, with an expired
// certificate or without TLS gets no password, and the error says what to do.
func TestServerMustProveWhoItIs(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	valid, wrongName := ours.issue(t, "127.0.0.1", later), ours.issue(t, "db.prod.insighthub.internal", later)
	foreign, expired := other.issue(t, "127.0.0.1", later), ours.issue(t, "127.0.0.1", time.Now().Add(-time.Hour))
	for name, c := range map[string]struct {
		certificate *tls.Certificate
		ca          []byte
		want        string
	}{
		"valid":           {&valid, ours.pem(), "password authentication failed"},
		"several":         {&valid, append(other.pem(), ours.pem()...), "password authentication failed"},
		"other name":      {&wrongName, ours.pem(), "has another name than the secret's host"},
		"other authority": {&foreign, ours.pem(), "deploy again, so that migrate hands out its new one"},
		"system's":        {&valid, nil, "not of the secret's authority"},
		"expired":         {&expired, ours.pem(), "expired or is not valid yet: renew it"},
		"no TLS":          {nil, ours.pem(), "the server speaks no TLS: set ssl = on"},
	} {
		t.Run(name, func(t *testing.T) {
			value, err := json.Marshal(secret{
				Host: "127.0.0.1", Port: json.Number(serveTLS(t, c.certificate)), Username: "u", Password: "hidden", Database: "d",
				CA: string(c.ca),
			})
			if err != nil {
				t.Fatal(err)
			}
			pool, err := OpenSecret(t.Context(), fakeSecrets{"db": string(value)}, "db", PoolConfig{MaxAttempts: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			err = pool.Ping(t.Context())
			if !errors.Is(err, telemetry.ErrUnavailable) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrUnavailable with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "hidden") {
				t.Errorf("%v: want an error without the password", err)
			}
		})
	}
}

// TestUnverifiedServersAreRejected: over a network only verify-full is accepted; on this
// machine anything is.
func TestUnverifiedServersAreRejected(t *testing.T) {
	for _, mode := range []string{"", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"} {
		for _, host := range []string{"db.example.com", "10.0.0.1", "127.0.0.1", "localhost", "[::1]", "127.0.0.1:5432,db.example.com"} {
			pool, err := Open(t.Context(), PoolConfig{DSN: "postgres://u:hidden@" + host + "/d?sslmode=" + mode})
			if err == nil {
				pool.Close()
			}
			local := host == "127.0.0.1" || host == "localhost" || host == "[::1]"
			if want := local || mode == "verify-full"; (err == nil) != want || err != nil && !strings.Contains(err.Error(), "verify-full") {
				t.Errorf("sslmode=%s at %s: got %v, want it accepted %v", mode, host, err, want)
			}
		}
	}
	config := PoolConfig{DSN: "postgres://u@h/d?sslmode=verify-full", CA: []byte("no PEM")}
	if _, err := Open(t.Context(), config); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("a ca that is none: got %v", err)
	}
}

// TestSecretIsReadAgain: after a server was replaced, a warm process reads the authority
// anew, and not more often than every few seconds.
func TestSecretIsReadAgain(t *testing.T) {
	before, after := newAuthority(t), newAuthority(t)
	certificate := after.issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	port := serveTLS(t, &certificate)
	value := func(ca []byte) string {
		raw, _ := json.Marshal(secret{Host: "127.0.0.1", Port: json.Number(port), Username: "u", Password: "p", CA: string(ca)})
		return string(raw)
	}
	secrets := &countedSecrets{value: value(before.pem())}
	now := time.Now()
	pool, err := OpenSecret(t.Context(), secrets, "db", PoolConfig{MaxAttempts: 1, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	fails := func(want string, reads int) {
		t.Helper()
		if err := pool.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), want) || secrets.reads != reads {
			t.Errorf("got %v after %d reads, want %q after %d", err, secrets.reads, want, reads)
		}
		now = now.Add(2 * time.Second)
	}
	fails("not of the secret's authority", 1)
	fails("not of the secret's authority", 2) // read again, and still the old one
	secrets.value = value(after.pem())
	fails("not of the secret's authority", 2)
	fails("not of the secret's authority", 2)
	fails("password authentication failed", 3)
	if bytes.Equal(before.pem(), after.pem()) {
		t.Error("want two authorities")
	}
}

type countedSecrets struct {
	value string
	reads int
}

func (s *countedSecrets) Get(context.Context, string) ([]byte, error) {
	s.reads++
	return []byte(s.value), nil
}

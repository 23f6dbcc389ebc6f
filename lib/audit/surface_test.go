package audit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

// secure serves https with a certificate that expires after lasts.
func secure(t *testing.T, lasts time.Duration, versions *tls.Config) (string, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "api.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-60 * day), NotAfter: time.Now().Add(lasts), IsCA: true, BasicConstraintsValid: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = versions
	server.TLS.Certificates = []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, pool
}

func TestTLS(t *testing.T) {
	t.Parallel()
	modern := func() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }
	for name, c := range map[string]struct {
		lasts       time.Duration
		versions    *tls.Config
		untrusted   bool
		certificate Result
		protocol    Result
		found       string
	}{
		"good":      {lasts: 90*day + time.Hour, versions: modern(), certificate: Pass, protocol: Pass, found: "expires in 90 days"},
		"soon":      {lasts: 20 * day, versions: modern(), certificate: Warn, protocol: Pass, found: "expires in 20 days"},
		"very soon": {lasts: 2 * day, versions: modern(), certificate: Fail, protocol: Pass, found: "expires in 2 days"},
		"expired":   {lasts: -day, versions: modern(), certificate: Fail, protocol: Pass, found: "expired"},
		"untrusted": {lasts: 90 * day, versions: modern(), untrusted: true, certificate: Fail, protocol: Pass, found: "unknown authority"},
		"TLS 1.0": {
			lasts: 90 * day, versions: &tls.Config{MinVersion: tls.VersionTLS10}, certificate: Pass, protocol: Fail, found: "90 days",
		},
	} {
		url, roots := secure(t, c.lasts, c.versions)
		if c.untrusted {
			roots = x509.NewCertPool()
		}
		got := TLSCheck(TLSConfig{Base: url, Now: time.Now, Roots: roots, Warn: 30 * day, Fail: 7 * day})(t.Context())
		if len(got) != 2 || got[0].Result != c.certificate || !strings.Contains(got[0].Found, c.found) || got[1].Result != c.protocol {
			t.Errorf("%s: got %+v, want %+v", name, got, c)
		}
	}
	for base, want := range map[string]Result{
		"http://127.0.0.1:8080": Pass, "http://localhost": Pass, "http://[::1]:80": Pass, "http://192.0.2.1": Warn, "ftp": Fail,
	} {
		got := TLSCheck(TLSConfig{Base: base, Now: time.Now})(t.Context())
		if len(got) != 1 || got[0].Result != want {
			t.Errorf("%s: got %+v, want %s", base, got, want)
		}
	}
	if got := TLSCheck(TLSConfig{Base: "https://127.0.0.1:1", Now: time.Now})(t.Context()); got[0].Result != Fail || got[1].Result != Fail {
		t.Errorf("without a server: got %+v, want two failures", got)
	}
}

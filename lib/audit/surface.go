package audit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// TLSConfig configures a TLSCheck.
type TLSConfig struct {
	// Base is the API's URL.
	Base string
	Now  func() time.Time
	// Roots are the trusted CAs; nil means the system's.
	Roots *x509.CertPool
	// Warn and Fail are the thresholds of the time until the certificate expires.
	Warn, Fail time.Duration
}

// TLSCheck checks the certificate chain, when it expires, and the protocol versions.
// Plain HTTP passes on the loopback interface and warns elsewhere.
func TLSCheck(c TLSConfig) Check {
	return func(ctx context.Context) []Finding {
		const name = "tls"
		u, err := url.Parse(c.Base)
		switch {
		case err != nil || u.Host == "":
			return []Finding{{name, Fail, fmt.Sprintf("%q is not a valid URL", c.Base), "set the API's URL"}}
		case u.Scheme == "http" && loopback(u.Hostname()):
			return []Finding{{Check: name, Result: Pass, Found: "skipped: http on the loopback interface"}}
		case u.Scheme != "https":
			return []Finding{{name, Warn, "skipped: http to another host", "serve the API over https only: tokens are sent in cleartext"}}
		}
		host := u.Host
		if u.Port() == "" {
			host = net.JoinHostPort(u.Hostname(), "443")
		}
		return []Finding{c.certificate(ctx, host), c.versions(ctx, host)}
	}
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

func (c TLSConfig) dial(ctx context.Context, host string, least, most uint16) (*tls.ConnectionState, error) {
	// Old versions are offered on purpose, to check that they are rejected.
	d := tls.Dialer{Config: &tls.Config{MinVersion: least, MaxVersion: most, RootCAs: c.Roots, Time: c.Now}}
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing was sent
	state := conn.(*tls.Conn).ConnectionState()
	return &state, nil
}

func (c TLSConfig) certificate(ctx context.Context, host string) Finding {
	f := Finding{Check: "tls: certificate", Result: Pass}
	state, err := c.dial(ctx, host, tls.VersionTLS12, tls.VersionTLS13)
	if invalid, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return Finding{f.Check, Fail, invalid.Err.Error(), "install a certificate that clients trust; find out why it was not renewed"}
	}
	if err != nil {
		return noResponse(f.Check, err)
	}
	leaf := state.PeerCertificates[0]
	left := leaf.NotAfter.Sub(c.Now())
	f.Found = fmt.Sprintf("%s, issued by %s, expires in %s, %s",
		leaf.Subject.CommonName, leaf.Issuer.CommonName, days(left), tls.VersionName(state.Version))
	switch {
	case left < c.Fail:
		f.Result = Fail
	case left < c.Warn:
		f.Result = Warn
	}
	f.Todo = "renew the certificate"
	return f
}

// versions requires that TLS 1.1 and older are rejected (RFC 8996).
func (c TLSConfig) versions(ctx context.Context, host string) Finding {
	const name = "tls: versions"
	state, err := c.dial(ctx, host, tls.VersionTLS10, tls.VersionTLS11)
	if err == nil {
		return Finding{name, Fail, tls.VersionName(state.Version) + " is accepted", "allow TLS 1.2 and 1.3 only"}
	}
	if _, ok := errors.AsType[*net.OpError](err); ok && !strings.Contains(err.Error(), "remote error") {
		return noResponse(name, err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return Finding{name, Fail, "TLS 1.1 or older is accepted", "allow TLS 1.2 and 1.3 only"}
	}
	return Finding{Check: name, Result: Pass, Found: "TLS 1.1 and older are rejected"}
}

// HeadersCheck checks the security and cache headers of each kind of response, and that
// the server does not disclose its software.
func HeadersCheck(api API, token string) Check {
	return func(ctx context.Context) []Finding {
		secure := strings.HasPrefix(api.Base, "https:")
		var findings []Finding
		for _, of := range []struct{ name, path, token string }{
			{"a response", probePath, token},
			{"a rejection", "/v1/no-such-endpoint", token},
			{"the key set", "/.well-known/jwks.json", ""},
		} {
			name := "headers: " + of.name
			got, err := api.get(ctx, of.path, of.token)
			if err != nil {
				findings = append(findings, noResponse(name, err))
				continue
			}
			findings = append(findings, judgeHeaders(name, got, secure, of.token != ""))
		}
		return findings
	}
}

func judgeHeaders(name string, got response, secure, private bool) Finding {
	f := Finding{Check: name, Result: Pass, Found: "complete; the server does not disclose its software"}
	var wrong []string
	want := func(ok bool, what string) {
		if !ok {
			wrong = append(wrong, what)
		}
	}
	h := got.header
	want(h.Get("Content-Type") != "", "no Content-Type")
	want(strings.EqualFold(h.Get("X-Content-Type-Options"), "nosniff"), "X-Content-Type-Options is not nosniff")
	want(!private || strings.Contains(h.Get("Cache-Control"), "no-store"), "Cache-Control lets caches store it")
	want(!secure || strings.Contains(h.Get("Strict-Transport-Security"), "max-age="), "no Strict-Transport-Security")
	for _, banner := range []string{"Server", "X-Powered-By", "X-Aspnet-Version"} {
		want(h.Get(banner) == "", fmt.Sprintf("%s: %s", http.CanonicalHeaderKey(banner), h.Get(banner)))
	}
	if len(wrong) > 0 {
		f.Result, f.Found = Fail, strings.Join(wrong, "; ")
		f.Todo = "set them in lib/lambda/http, which writes all responses, and remove banners"
	}
	return f
}

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

// TLSConfig sets a TLSCheck up.
type TLSConfig struct {
	// Base is the API's address.
	Base string
	Now  func() time.Time
	// Roots are trusted; nil means the system's.
	Roots *x509.CertPool
	// Warn and Fail are the least that the certificate has to last.
	Warn, Fail time.Duration
}

// TLSCheck looks at the certificate's chain, at how long it lasts, and at the
// versions of the protocol. Plain HTTP has neither: that is as it should be on one
// machine, and nowhere else.
func TLSCheck(c TLSConfig) Check {
	return func(ctx context.Context) []Finding {
		const name = "tls"
		u, err := url.Parse(c.Base)
		switch {
		case err != nil || u.Host == "":
			return []Finding{{name, Fail, fmt.Sprintf("%q is no address", c.Base), "name the API's address"}}
		case u.Scheme == "http" && loopback(u.Hostname()):
			return []Finding{{Check: name, Result: Pass, Found: "skipped: http on this machine"}}
		case u.Scheme != "https":
			return []Finding{{name, Warn, "skipped: http to another machine", "serve the API by https only: tokens travel in the clear"}}
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
	// An old version is offered to see it refused.
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
		return Finding{f.Check, Fail, invalid.Err.Error(), "put a certificate in place that its clients trust; see why it was not renewed"}
	}
	if err != nil {
		return notAsked(f.Check, err)
	}
	leaf := state.PeerCertificates[0]
	left := leaf.NotAfter.Sub(c.Now())
	f.Found = fmt.Sprintf("%s by %s, good for %s, %s", leaf.Subject.CommonName, leaf.Issuer.CommonName, days(left), tls.VersionName(state.Version))
	switch {
	case left < c.Fail:
		f.Result = Fail
	case left < c.Warn:
		f.Result = Warn
	}
	f.Todo = "renew the certificate"
	return f
}

// versions wants TLS 1.1 refused (RFC 8996).
func (c TLSConfig) versions(ctx context.Context, host string) Finding {
	const name = "tls: versions"
	state, err := c.dial(ctx, host, tls.VersionTLS10, tls.VersionTLS11)
	if err == nil {
		return Finding{name, Fail, tls.VersionName(state.Version) + " is spoken", "allow TLS 1.2 and 1.3 only"}
	}
	if _, ok := errors.AsType[*net.OpError](err); ok && !strings.Contains(err.Error(), "remote error") {
		return notAsked(name, err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return Finding{name, Fail, "TLS 1.1 or older is spoken", "allow TLS 1.2 and 1.3 only"}
	}
	return Finding{Check: name, Result: Pass, Found: "TLS 1.1 and older are refused"}
}

// HeadersCheck looks at the headers of answers of each kind: what browsers are told,
// what caches are told, and that the server does not name its software.
func HeadersCheck(api API, token string) Check {
	return func(ctx context.Context) []Finding {
		secure := strings.HasPrefix(api.Base, "https:")
		var findings []Finding
		for _, of := range []struct{ name, path, token string }{
			{"an answer", probePath, token},
			{"a refusal", "/v1/no-such-endpoint", token},
			{"the key set", "/.well-known/jwks.json", ""},
		} {
			name := "headers: " + of.name
			got, err := api.get(ctx, of.path, of.token)
			if err != nil {
				findings = append(findings, notAsked(name, err))
				continue
			}
			findings = append(findings, judgeHeaders(name, got, secure, of.token != ""))
		}
		return findings
	}
}

func judgeHeaders(name string, got answer, secure, private bool) Finding {
	f := Finding{Check: name, Result: Pass, Found: "all there; the server does not name itself"}
	var wrong []string
	want := func(ok bool, what string) {
		if !ok {
			wrong = append(wrong, what)
		}
	}
	h := got.header
	want(h.Get("Content-Type") != "", "no Content-Type")
	want(strings.EqualFold(h.Get("X-Content-Type-Options"), "nosniff"), "X-Content-Type-Options is not nosniff")
	want(!private || strings.Contains(h.Get("Cache-Control"), "no-store"), "Cache-Control lets caches keep it")
	want(!secure || strings.Contains(h.Get("Strict-Transport-Security"), "max-age="), "no Strict-Transport-Security")
	for _, banner := range []string{"Server", "X-Powered-By", "X-Aspnet-Version"} {
		want(h.Get(banner) == "", fmt.Sprintf("%s: %s", http.CanonicalHeaderKey(banner), h.Get(banner)))
	}
	if len(wrong) > 0 {
		f.Result, f.Found = Fail, strings.Join(wrong, "; ")
		f.Todo = "set them where all answers are made (lib/lambda/http), and take banners away"
	}
	return f
}

package timescale

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// parseDSN parses a DSN. Over a network the server's certificate and its name must be
// verified: sslmode=verify-full. Only on this machine may they be left unverified. The
// certificates of ca, if there are any, replace the system's.
func parseDSN(dsn string, ca []byte) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("database DSN: %w: %w", telemetry.ErrInvalid, err)
	}
	var roots *x509.CertPool
	if len(ca) > 0 {
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("database certificates (ca): %w: want certificates in PEM", telemetry.ErrInvalid)
		}
	}
	hosts := []*pgconn.FallbackConfig{{Host: config.ConnConfig.Host, TLSConfig: config.ConnConfig.TLSConfig}}
	for _, host := range append(hosts, config.ConnConfig.Fallbacks...) {
		verified := host.TLSConfig != nil && !host.TLSConfig.InsecureSkipVerify && host.TLSConfig.ServerName == host.Host
		if !verified && !onThisMachine(host.Host) {
			return nil, fmt.Errorf("database DSN: %w: sslmode of host %s: want verify-full, "+
				"with the server's authority in the secret's member ca", telemetry.ErrInvalid, host.Host)
		}
		if verified && roots != nil {
			host.TLSConfig.RootCAs = roots
		}
	}
	return config, nil
}

// onThisMachine reports whether a host is this machine by its name or address; the path of a
// Unix socket begins with a slash.
func onThisMachine(host string) bool {
	if host == "localhost" || strings.HasPrefix(host, "/") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// explainTLS says what to do about a server whose identity cannot be verified.
func explainTLS(err error) error {
	advice := ""
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		advice = "the server's certificate has another name than the secret's host: correct the host, or make the certificate again for it"
	} else if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		advice = "the server's certificate is not of the secret's authority (ca): if the server was replaced, deploy again, so that " +
			"migrate hands out its new one"
	} else if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		advice = "the server's certificate expired or is not valid yet: renew it (a restart of the database's machine does), " +
			"or correct a clock"
	} else if strings.Contains(err.Error(), "server refused TLS connection") {
		advice = "the server speaks no TLS: set ssl = on, ssl_cert_file and ssl_key_file there"
	}
	if advice == "" {
		return err
	}
	return fmt.Errorf("%s: %w", advice, err)
}

// identityFailed reports whether a connection failed because of what the secret holds: the
// password or the authority of the server's certificate.
func identityFailed(err error) bool {
	_, otherAuthority := errors.AsType[x509.UnknownAuthorityError](err)
	return otherAuthority || hasState(err, invalidPassword)
}

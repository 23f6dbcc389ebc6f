package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Files of the certificates in the data directory: that of the authority, and the
// server's with its key.
const (
	authorityFile   = "insighthub-ca.crt"
	certificateFile = "insighthub.crt"
	keyFile         = "insighthub.key"

	certificateYears = 10
)

// ensureTLS creates an authority and a certificate for this machine's names unless there
// are such that are valid. The authority's key is not stored: it signs once.
func ensureTLS(dataDir string, account account, now time.Time) error {
	path := func(name string) string { return filepath.Join(dataDir, name) }
	pair, err := tls.LoadX509KeyPair(path(certificateFile), path(keyFile))
	if err == nil && now.Before(pair.Leaf.NotAfter.AddDate(0, -1, 0)) {
		return nil
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "IoT InsightHub local database authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(certificateYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(certificateYears, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, authority, serverKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name, kind string
		der        []byte
	}{{authorityFile, "CERTIFICATE", authorityDER}, {keyFile, "PRIVATE KEY", keyDER}, {certificateFile, "CERTIFICATE", serverDER}} {
		if err := os.WriteFile(path(file.name), pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.der}), 0o600); err != nil {
			return err
		}
		if err := account.own(path(file.name)); err != nil {
			return err
		}
	}
	return nil
}

// Authority returns the certificate, in PEM, of the authority of the server's certificate.
// Only for a server with Config.TLS.
func (s *Server) Authority() ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(s.config.DataDir, authorityFile))
	if err != nil {
		return nil, fmt.Errorf("certificate of the database's authority: %w", err)
	}
	return raw, nil
}

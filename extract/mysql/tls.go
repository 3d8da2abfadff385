package mysql

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/go-sql-driver/mysql"
)

// encryption is what a source's URL says of TLS.
type encryption struct {
	mode          string // as in the URL; empty for none
	ca, cert, key string // files
}

// tlsModes are what tls may be.
const tlsModes = "true (the certificate and the host's name are verified), verify-ca (the certificate alone), required (nothing is verified), preferred (as required, and none where the server has none), or false"

// set takes a parameter of the URL.
func (e *encryption) set(name, value string) error {
	switch name {
	case "tls":
		switch value {
		case "true", "verify-ca", "required", "skip-verify", "preferred", "false":
			e.mode = value
			return nil
		}
		return errors.New("tls is " + tlsModes)
	case "tls_ca":
		e.ca = value
	case "tls_cert":
		e.cert = value
	case "tls_key":
		e.key = value
	default:
		return fmt.Errorf("it has the parameter %q; there are tls, tls_ca, tls_cert and tls_key", name)
	}
	return nil
}

// read takes the parameters of the URL.
func (e *encryption) read(query url.Values) error {
	for name, values := range query {
		if err := e.set(name, values[0]); err != nil {
			return err
		}
	}
	files := e.ca != "" || e.cert != "" || e.key != ""
	switch {
	case files && (e.mode == "" || e.mode == "false"):
		return errors.New("it names certificates and no tls; tls is " + tlsModes)
	case e.ca != "" && e.mode != "true" && e.mode != "verify-ca":
		return errors.New("tls_ca is for tls=true and tls=verify-ca: tls=" + e.mode + " verifies nothing")
	case (e.cert == "") != (e.key == ""):
		return errors.New("tls_cert and tls_key go together")
	}
	return nil
}

// apply sets a connection up. Files are read for each: they are renewed while we live.
func (e encryption) apply(c *mysql.Config, host string) error {
	if e.mode == "" || e.mode == "false" {
		return nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if e.ca != "" {
		pem, err := os.ReadFile(e.ca)
		if err != nil {
			return badFile{fmt.Errorf("read tls_ca: %w", err)}
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return badFile{fmt.Errorf("tls_ca: %s holds no certificate", e.ca)}
		}
	}
	if e.cert != "" {
		pair, err := tls.LoadX509KeyPair(e.cert, e.key)
		if err != nil {
			return badFile{fmt.Errorf("read tls_cert and tls_key: %w", err)}
		}
		t.Certificates = []tls.Certificate{pair}
	}
	if e.mode != "true" {
		t.InsecureSkipVerify = true
	}
	if e.mode == "verify-ca" {
		t.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(state, t.RootCAs) }
	}
	c.TLS, c.AllowFallbackToPlaintext = t, e.mode == "preferred"
	return nil
}

// verifyChain verifies the server's certificate whatever name is in it.
func verifyChain(state tls.ConnectionState, roots *x509.CertPool) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the server showed no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	return err
}

// badFile is a file with certificates that cannot be used.
type badFile struct{ error }

// untrusted reports whether a connection failed for what TLS is there for.
func untrusted(err error) bool {
	var unverified *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var file badFile
	return errors.Is(err, mysql.ErrNoTLS) || errors.As(err, &unverified) || errors.As(err, &authority) || errors.As(err, &name) ||
		errors.As(err, &invalid) || errors.As(err, &alert) || errors.As(err, &record) || errors.As(err, &file)
}

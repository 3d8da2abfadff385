package mysql_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/mysql"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

// write writes something PEM into a file that every account may read.
func write(t *testing.T, dir, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate makes a key and a certificate, signed by the authority or, without one, by itself.
func certificate(t *testing.T, by *authority, template *x509.Certificate) (der []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err = x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	der, key := certificate(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, write(t, dir, name+".pem", "CERTIFICATE", der)}
}

// sign makes a certificate for the names and returns the files with it and its key.
func (a *authority) sign(t *testing.T, dir, file string, usage x509.ExtKeyUsage, names ...string) (cert, key string) {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: file}, ExtKeyUsage: []x509.ExtKeyUsage{usage}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der, private := certificate(t, a, template)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, dir, file+".crt", "CERTIFICATE", der), write(t, dir, file+".key", "PRIVATE KEY", pkcs8)
}

// TestTLS reads from a server with a certificate of an authority of the test's own, in each mode.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the server's account must come to it
		t.Fatal(err)
	}
	ours, theirs := newAuthority(t, dir, "ours"), newAuthority(t, dir, "theirs")
	secure := func(names ...string) *testenv.MariaDBServer {
		cert, key := ours.sign(t, dir, names[0], x509.ExtKeyUsageServerAuth, names...)
		return testenv.NewMariaDB(t, "--ssl-ca="+ours.file, "--ssl-cert="+cert, "--ssl-key="+key)
	}
	known, named := secure("127.0.0.1"), secure("db.internal")
	plain := testenv.MariaDB(t)
	for _, s := range []*testenv.MariaDBServer{known, named, plain} {
		exec(t, connect(t, s, "root"), `CREATE TABLE v (n INT PRIMARY KEY, f FLOAT)`, `INSERT INTO v VALUES (1, 0.1)`)
	}
	exec(t, connect(t, known, "root"), `CREATE USER shy REQUIRE X509`, `GRANT ALL ON *.* TO shy`)
	cert, key := ours.sign(t, dir, "client", x509.ExtKeyUsageClientAuth, "client")
	shy := strings.Replace(known.URL, "root@", "shy@", 1)
	for _, c := range []struct {
		url, query string
		code       elt.Code
		names      string
	}{
		{known.URL, "?tls=true&tls_ca=" + ours.file, "", ""},
		{known.URL, "?tls=verify-ca&tls_ca=" + ours.file, "", ""},
		{known.URL, "?tls=required", "", ""},
		{known.URL, "?tls=skip-verify", "", ""},
		{known.URL, "?tls=preferred", "", ""},
		{known.URL, "?tls=false", "", ""},
		{known.URL, "?tls=true&tls_ca=" + theirs.file, "source_tls_failed", "authority"},
		{known.URL, "?tls=verify-ca&tls_ca=" + theirs.file, "source_tls_failed", "authority"},
		{known.URL, "?tls=true", "source_tls_failed", "tls=true"}, // the system does not know our authority
		{named.URL, "?tls=true&tls_ca=" + ours.file, "source_tls_failed", "127.0.0.1"},
		{named.URL, "?tls=verify-ca&tls_ca=" + ours.file, "", ""},
		{plain.URL, "?tls=preferred", "", ""},
		{plain.URL, "?tls=required", "source_tls_failed", "TLS"},
		{plain.URL, "?tls=true", "source_tls_failed", "TLS"},
		{shy, "?tls=true&tls_ca=" + ours.file + "&tls_cert=" + cert + "&tls_key=" + key, "", ""},
		{shy, "?tls=true&tls_ca=" + ours.file, "source_auth_failed", "shop"},
		{known.URL, "?tls=true&tls_ca=" + dir + "/none.pem", "source_tls_failed", "none.pem"},
		{known.URL, "?tls=true&tls_ca=" + key, "source_tls_failed", "no certificate"},
	} {
		lake := &extracttest.Lake{}
		m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, c.url+c.query), lake), extracttest.Job(extracttest.Table("v"), 1))
		if c.code != "" {
			extracttest.Fails(t, err, c.code, "shop", c.names)
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", c.query, err)
		}
		if diff := cmp.Diff([][]string{{"1", "0.10000000149011612"}}, lake.Rows(t, m)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.query, diff)
		}
	}
	for _, query := range []string{"?tls_ca=" + ours.file, "?tls=required&tls_ca=" + ours.file, "?tls=true&tls_cert=" + cert, "?tls=yes", "?ssl=true"} {
		_, err := mysql.New(mysql.Options{Name: "shop", URL: known.URL + query})
		extracttest.Fails(t, err, "source_url", "shop", "tls")
	}
}

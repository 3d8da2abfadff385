package postgres_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// TestTransports extracts the same table over TCP, over TLS and over a socket of the file system.
func TestTransports(t *testing.T) {
	dir, err := os.MkdirTemp("", "pg") //nolint:usetesting // the server's account cannot enter the test's own folder
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cert, key := certificate(t, dir)
	ofServer(t, dir, cert, key)
	server := testenv.NewPostgres(t, map[string]string{"ssl": "on", "ssl_cert_file": cert, "ssl_key_file": key, "unix_socket_directories": dir})
	const rows = 60_000
	exec(t, connect(t, server.URL), `CREATE TABLE a AS SELECT i AS n, md5(i::text) AS x FROM generate_series(1, 60000) i`)
	plain := newSource(t, server.URL)
	host := server.URL[strings.Index(server.URL, "127.0.0.1:"):strings.LastIndex(server.URL, "/")]
	socket := strings.Replace(server.URL, host, "", 1) + "&host=" + dir + "&port=" + strings.TrimPrefix(host, "127.0.0.1:")
	want, err := extracttest.Extract(t, extracttest.New(t, plain, &extracttest.Lake{}), extracttest.Job(extracttest.Table("public.a"), 1))
	if err != nil || want.Rows() != rows {
		t.Fatal(want, err)
	}
	for name, url := range map[string]string{"TLS": strings.Replace(server.URL, "sslmode=disable", "sslmode=require", 1), "socket": socket} {
		lake := &extracttest.Lake{}
		m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), lake), extracttest.Job(extracttest.Table("public.a"), 1))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := want.Stats.Compare(m.Stats); len(diff) > 0 || len(lake.Rows(t, m)) != rows {
			t.Errorf("%s: %v", name, diff)
		}
	}
}

// certificate writes a server's certificate and its key.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: public}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// ofServer hands files to the account that the server runs as, when that is another.
func ofServer(t *testing.T, paths ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if err := os.Chown(path, uid, -1); err != nil {
			t.Fatal(err)
		}
	}
}

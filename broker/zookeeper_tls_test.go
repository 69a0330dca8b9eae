package broker_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ottla/zkmeta/zktest"
)

// pki is a certificate authority with a ZooKeeper server and a broker, in the formats that Java programs read.
type pki struct {
	dir string
	ca  *x509.Certificate
	key *ecdsa.PrivateKey
}

const storePassword = "store-secret"

// newPKI makes ca.pem, server.pem (for localhost), client.pem, and of the latter and the first client.jks, client.p12, ca.jks and ca.p12, by keytool.
func newPKI(t *testing.T) *pki {
	t.Helper()
	if _, err := exec.LookPath("keytool"); err != nil {
		t.Skip(err)
	}
	p := &pki{dir: t.TempDir()}
	p.key, p.ca = p.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	p.issue(t, "server", &x509.Certificate{DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	p.issue(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	for _, kind := range []string{"JKS", "PKCS12"} {
		to := map[string]string{"JKS": "jks", "PKCS12": "p12"}[kind]
		run(t, "keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", p.path("ca.pem"), "-keystore", p.path("ca."+to), "-storetype", kind,
			"-storepass", storePassword)
	}
	// keytool makes keys but does not import them: it gets one of its own for the client, signed here.
	for _, to := range []string{"jks", "p12"} {
		kind := map[string]string{"jks": "JKS", "p12": "PKCS12"}[to]
		common := []string{"-alias", "client", "-keystore", p.path("client." + to), "-storetype", kind, "-storepass", storePassword}
		run(t, "keytool", append([]string{"-genkeypair", "-keyalg", "EC", "-dname", "CN=client", "-keypass", storePassword}, common...)...)
		block, _ := pem.Decode([]byte(run(t, "keytool", append([]string{"-certreq"}, common...)...)))
		asked, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		der := p.sign(t, &x509.Certificate{Subject: asked.Subject, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, asked.PublicKey)
		signed := p.path("signed-" + to + ".pem")
		write(t, signed, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
		run(t, "keytool", append([]string{"-importcert", "-noprompt", "-alias", "ca", "-file", p.path("ca.pem")}, common[2:]...)...)
		run(t, "keytool", append([]string{"-importcert", "-noprompt", "-file", signed}, common...)...)
	}
	return p
}

func (p *pki) path(name string) string { return filepath.Join(p.dir, name) }

// issue writes NAME.pem with a key and a certificate; the first is its own issuer.
func (p *pki) issue(t *testing.T, name string, template *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.Subject = pkix.Name{CommonName: name}
	if p.ca == nil {
		p.ca, p.key = template, key
	}
	der := p.sign(t, template, key.Public())
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if !template.IsCA {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	}
	out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, p.path(name+".pem"), out.String())
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func (p *pki) sign(t *testing.T, template *x509.Certificate, public any) []byte {
	t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, p.ca, public, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

// TestZooKeeperOverTLS has a server that wants a client's certificate.
func TestZooKeeperOverTLS(t *testing.T) {
	t.Parallel()
	if zooKeeper == nil {
		t.Skip(noZooKeeper)
	}
	p := newPKI(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	zktest.StartZooKeeper(t, "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
		fmt.Sprintf("secureClientPort=%d", port), "secureClientPortAddress=127.0.0.1", "ssl.protocol=TLSv1.3", "ssl.enabledProtocols=TLSv1.2,TLSv1.3",
		"ssl.ciphersuites=TLS_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", // the default has none of TLS 1.3
		"ssl.keyStore.location="+p.path("server.pem"), "ssl.trustStore.location="+p.path("ca.pem"))
	for _, tt := range []struct {
		name   string
		host   string
		fails  string // what the error says; "": the broker starts
		change []string
	}{
		{"pem", "localhost", "", nil},
		{"jks", "localhost", "", []string{
			"zookeeper.ssl.keystore.location=" + p.path("client.jks"), "zookeeper.ssl.keystore.password=" + storePassword,
			"zookeeper.ssl.truststore.location=" + p.path("ca.jks"), "zookeeper.ssl.truststore.password=" + storePassword}},
		{"pkcs12 and tls 1.3", "localhost", "", []string{
			"zookeeper.ssl.keystore.location=" + p.path("client.p12"), "zookeeper.ssl.keystore.password=" + storePassword,
			"zookeeper.ssl.truststore.location=" + p.path("ca.p12"), "zookeeper.ssl.truststore.password=" + storePassword,
			"zookeeper.ssl.truststore.type=PKCS12", "zookeeper.ssl.protocol=TLSv1.3"}},
		{"a cipher suite", "localhost", "", []string{"zookeeper.ssl.cipher.suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}},
		{"another host name", "127.0.0.1", "127.0.0.1", nil},
		{"any host name", "127.0.0.1", "", []string{"zookeeper.ssl.endpoint.identification.algorithm="}},
		{"any host name, but not any certificate", "127.0.0.1", "unknown authority", []string{
			"zookeeper.ssl.endpoint.identification.algorithm=", "zookeeper.ssl.truststore.location=" + p.path("client.pem")}},
		{"no client certificate", "localhost", "no session", []string{"zookeeper.ssl.keystore.location="}},
		{"no tls", "localhost", "no session", []string{"zookeeper.ssl.client.enable=false"}},
		{"a wrong password", "localhost", "zookeeper.ssl.keystore.location", []string{
			"zookeeper.ssl.keystore.location=" + p.path("client.p12"), "zookeeper.ssl.keystore.password=nonsense"}},
		{"an unknown format", "localhost", "BCFKS", []string{"zookeeper.ssl.keystore.type=BCFKS"}},
		{"an unknown protocol", "localhost", "SSLv3", []string{"zookeeper.ssl.protocol=SSLv3"}},
		{"an unknown cipher suite", "localhost", "cipher.suites", []string{"zookeeper.ssl.cipher.suites=TLS_NONE"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sets := beside(fmt.Sprintf("%s:%d", tt.host, port), newTree(t), 1, "zookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty",
				"zookeeper.ssl.client.enable=true", "zookeeper.ssl.keystore.location="+p.path("client.pem"), "zookeeper.ssl.truststore.location="+p.path("ca.pem"))
			sets = append(sets, tt.change...)
			if tt.fails != "" {
				sets = append(sets, "zookeeper.connection.timeout.ms=1500")
			}
			b, err := try(t, t.Context(), t.TempDir(), sets...)
			switch {
			case err == nil && tt.fails == "":
				b.stop()
			case err == nil:
				t.Errorf("the broker starts, want an error with %q", tt.fails)
			case tt.fails == "" || !strings.Contains(err.Error(), tt.fails):
				t.Errorf("error %v, want %q", err, tt.fails)
			}
		})
	}
}

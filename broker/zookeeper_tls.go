package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ottla/broker/config"
	"ottla/broker/keystore"
)

// zooKeeperTLS is what zookeeper.ssl.* asks for, nil without zookeeper.ssl.client.enable. Unset means what it means to ZooKeeper's Java client: no
// client certificate, the system's roots, zookeeper.ssl.protocol as the only version, host names checked.
func zooKeeperTLS(s *config.Snapshot) (*tls.Config, error) {
	if !config.Get(s, config.ZookeeperSslClientEnable) {
		return nil, nil
	}
	for _, key := range []*config.Key[string]{config.ZookeeperSslKeystoreType, config.ZookeeperSslTruststoreType} {
		if t, ok := config.Lookup(s, key); ok && !slices.Contains(storeTypes, strings.ToUpper(t)) {
			return nil, fmt.Errorf("%s: %q, want one of %s", key.Name, t, strings.Join(storeTypes, ", "))
		}
	}
	c := &tls.Config{}
	if path, ok := config.Lookup(s, config.ZookeeperSslKeystoreLocation); ok && path != "" {
		password, _ := config.Lookup(s, config.ZookeeperSslKeystorePassword)
		cert, err := keystore.Key(path, password.Reveal())
		if err != nil {
			return nil, fmt.Errorf("zookeeper.ssl.keystore.location: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	if path, ok := config.Lookup(s, config.ZookeeperSslTruststoreLocation); ok && path != "" {
		password, _ := config.Lookup(s, config.ZookeeperSslTruststorePassword)
		var err error
		if c.RootCAs, err = keystore.Roots(path, password.Reveal()); err != nil {
			return nil, fmt.Errorf("zookeeper.ssl.truststore.location: %w", err)
		}
	}
	versions, ok := config.Lookup(s, config.ZookeeperSslEnabledProtocols)
	if !ok || len(versions) == 0 {
		versions = []string{config.Get(s, config.ZookeeperSslProtocol)}
	}
	for _, v := range versions {
		n := tlsVersions[v]
		if n == 0 {
			return nil, fmt.Errorf("zookeeper.ssl: protocol %q, want TLSv1.2 or TLSv1.3", v)
		}
		if c.MinVersion == 0 || n < c.MinVersion {
			c.MinVersion = n
		}
		c.MaxVersion = max(c.MaxVersion, n)
	}
	names, _ := config.Lookup(s, config.ZookeeperSslCipherSuites)
	for _, name := range names {
		id, err := cipherSuite(name)
		if err != nil {
			return nil, fmt.Errorf("zookeeper.ssl.cipher.suites: %w", err)
		}
		c.CipherSuites = append(c.CipherSuites, id)
	}
	if !strings.EqualFold(config.Get(s, config.ZookeeperSslEndpointIdentificationAlgorithm), "HTTPS") {
		anyHost(c)
	}
	return c, nil
}

// storeTypes are the formats that can be named; which one a file has is seen from it.
var storeTypes = []string{"JKS", "PKCS12", "PEM"}

var tlsVersions = map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}

// cipherSuite finds a suite by the name that it has in Java, too. Those that Go considers insecure are not offered.
func cipherSuite(name string) (uint16, error) {
	for _, s := range tls.CipherSuites() {
		if s.Name == name {
			return s.ID, nil
		}
	}
	return 0, fmt.Errorf("%q is not a cipher suite that can be used", name)
}

// anyHost checks the chain of certificates and not the host name.
func anyHost(c *tls.Config) {
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("no certificate")
		}
		o := x509.VerifyOptions{Roots: c.RootCAs, Intermediates: x509.NewCertPool()}
		for _, cert := range state.PeerCertificates[1:] {
			o.Intermediates.AddCert(cert)
		}
		_, err := state.PeerCertificates[0].Verify(o)
		return err
	}
}

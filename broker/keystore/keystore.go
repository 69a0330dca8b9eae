// Package keystore reads certificates and private keys from the files that Java programs are configured with: PEM, JKS and PKCS#12. What a file
// is, its content tells: Java, too, reads a PKCS#12 file where JKS is configured, and the other way round (keystore.type.compat).
package keystore

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	jks "github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"
)

const jksMagic = 0xFEEDFEED

type format int

const (
	formatPEM format = iota
	formatJKS
	formatPKCS12
)

func formatOf(data []byte) format {
	switch {
	case len(data) >= 4 && binary.BigEndian.Uint32(data) == jksMagic:
		return formatJKS
	case len(data) > 0 && data[0] == 0x30: // an ASN.1 sequence
		return formatPKCS12
	}
	return formatPEM
}

// Key reads the private key of a keystore and the chain of certificates for it. A PEM file has both, the key unencrypted; in a JKS file the key has the
// password of the store.
func Key(path, password string) (tls.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("keystore: %w", err)
	}
	var cert tls.Certificate
	switch formatOf(data) {
	case formatJKS:
		cert, err = keyOfJKS(data, []byte(password))
	case formatPKCS12:
		cert, err = keyOfPKCS12(data, password)
	default:
		if bytes.Contains(data, []byte("BEGIN ENCRYPTED PRIVATE KEY")) {
			err = errors.New("the private key is encrypted, which is supported in PKCS#12 and JKS files only")
		} else {
			cert, err = tls.X509KeyPair(data, data)
		}
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("keystore %s: %w", path, err)
	}
	return cert, nil
}

// Roots reads the certificates of a truststore.
func Roots(path, password string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("truststore: %w", err)
	}
	var certs []*x509.Certificate
	switch formatOf(data) {
	case formatJKS:
		certs, err = rootsOfJKS(data, []byte(password))
	case formatPKCS12:
		certs, err = pkcs12.DecodeTrustStore(data, password)
	default:
		certs, err = rootsOfPEM(data)
	}
	if err == nil && len(certs) == 0 {
		err = errors.New("there is no certificate in it")
	}
	if err != nil {
		return nil, fmt.Errorf("truststore %s: %w", path, err)
	}
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool, nil
}

func keyOfPKCS12(data []byte, password string) (tls.Certificate, error) {
	key, leaf, more, err := pkcs12.DecodeChain(data, password)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert := tls.Certificate{PrivateKey: key, Leaf: leaf, Certificate: [][]byte{leaf.Raw}}
	for _, c := range more {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return cert, nil
}

func loadJKS(data, password []byte) (jks.KeyStore, error) {
	ks := jks.New()
	return ks, ks.Load(bytes.NewReader(data), password)
}

func keyOfJKS(data, password []byte) (tls.Certificate, error) {
	ks, err := loadJKS(data, password)
	if err != nil {
		return tls.Certificate{}, err
	}
	for _, alias := range ks.Aliases() {
		if !ks.IsPrivateKeyEntry(alias) {
			continue
		}
		entry, err := ks.GetPrivateKeyEntry(alias, password)
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("key %s: %w", alias, err)
		}
		cert := tls.Certificate{}
		if cert.PrivateKey, err = x509.ParsePKCS8PrivateKey(entry.PrivateKey); err != nil {
			return tls.Certificate{}, fmt.Errorf("key %s: %w", alias, err)
		}
		for _, c := range entry.CertificateChain {
			cert.Certificate = append(cert.Certificate, c.Content)
		}
		return cert, nil
	}
	return tls.Certificate{}, errors.New("there is no private key in it")
}

func rootsOfJKS(data, password []byte) (certs []*x509.Certificate, err error) {
	ks, err := loadJKS(data, password)
	if err != nil {
		return nil, err
	}
	for _, alias := range ks.Aliases() {
		if !ks.IsTrustedCertificateEntry(alias) {
			continue
		}
		entry, err := ks.GetTrustedCertificateEntry(alias)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: %w", alias, err)
		}
		c, err := x509.ParseCertificate(entry.Certificate.Content)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: %w", alias, err)
		}
		certs = append(certs, c)
	}
	return certs, nil
}

func rootsOfPEM(data []byte) (certs []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return certs, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
}

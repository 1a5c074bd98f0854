package fetch

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/tools/fact"
)

// rsaAuthority issues certificates that are signed with SHA-1, which package x509
// does not do any more.
type rsaAuthority struct {
	testing.TB
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

func newRSAAuthority(t testing.TB) *rsaAuthority {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	a := &rsaAuthority{TB: t, key: key}
	root := &x509.Certificate{Subject: pkix.Name{CommonName: "old root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert = a.issue(root, root, false)
	return a
}

func (a *rsaAuthority) issue(template, parent *x509.Certificate, weak bool) *x509.Certificate {
	a.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, a.key.Public(), a.key)
	if err != nil {
		a.Fatal(err)
	}
	if weak {
		der = a.signWeakly(der)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.Fatal(err)
	}
	return cert
}

// signWeakly signs a certificate anew, as sha1WithRSAEncryption (RFC 8017,
// appendix A.2.4).
func (a *rsaAuthority) signWeakly(der []byte) []byte {
	a.Helper()
	var cert struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &cert); err != nil {
		a.Fatal(err)
	}
	const withSHA256, withSHA1 = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05"
	cert.TBS.FullBytes = []byte(strings.ReplaceAll(string(cert.TBS.FullBytes), withSHA256, withSHA1))
	cert.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}
	sum := sha1.Sum(cert.TBS.FullBytes)
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA1, sum[:])
	if err != nil {
		a.Fatal(err)
	}
	cert.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	if der, err = asn1.Marshal(cert); err != nil {
		a.Fatal(err)
	}
	return der
}

// TestTrueCause: a certificate that clients refuse for what it is gets that reason,
// and not that of an issuer or a name that is right.
func TestTrueCause(t *testing.T) {
	t.Parallel()
	a := newRSAAuthority(t)
	trusted, none := x509.NewCertPool(), x509.NewCertPool()
	trusted.AddCert(a.cert)
	server := func(cn string, weak bool, names ...string) []*x509.Certificate {
		return []*x509.Certificate{a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: cn}, DNSNames: names}, a.cert, weak)}
	}
	for _, c := range []struct {
		name  string
		chain []*x509.Certificate
		roots *x509.CertPool
		code  string
		also  []string
		says  string
	}{
		{"fine", server("a.test", false, "a.test"), trusted, "", nil, ""},
		{"SHA-1", server("a.test", true, "a.test"), trusted, fact.TLSBadCertificate, nil, "the server's certificate is signed with the broken algorithm SHA1-RSA"},
		{"SHA-1 of an unknown authority", server("a.test", true, "a.test"), none, fact.TLSBadCertificate, []string{fact.TLSUnknownCA}, "SHA1-RSA"},
		{"SHA-1 of a root that is sent", append(server("a.test", false, "a.test"), a.issue(a.cert, a.cert, true)), none, fact.TLSUnknownCA, nil, "ends at a root"},
		{"common name alone", server("a.test", false), trusted, fact.TLSBadCertificate, nil, "names a.test in its common name (CN) alone"},
		{"common name with a wildcard", server("*.test", false), trusted, fact.TLSBadCertificate, nil, "(CN) alone"},
		{"another common name", server("b.test", false), trusted, fact.TLSNameMismatch, nil, "its common name is another"},
		{"another name", server("a.test", false, "b.test"), trusted, fact.TLSNameMismatch, nil, "its names are others, 1 of them"},
	} {
		e := verify(c.chain, c.roots, "a.test", time.Now())
		if e == nil {
			e = &fact.TLSError{}
		}
		if e.Code != c.code || !slices.Equal(e.Also, c.also) || !strings.Contains(e.Message, c.says) {
			t.Errorf("%s: %+v, want %s also %v: ...%s...", c.name, e, c.code, c.also, c.says)
		}
	}
}

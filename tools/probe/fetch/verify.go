package fetch

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"time"

	"nsenter-mcp/tools/fact"
)

// verify judges the chain that a server sent. It returns nil where a client
// with these roots would accept it, and otherwise every reason that holds: an
// expired certificate may have the wrong name too, and who renews it should
// know both.
func verify(chain []*x509.Certificate, roots *x509.CertPool, name string, now time.Time) *fact.TLSError {
	leaf := chain[0]
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), DNSName: name, CurrentTime: now}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(options)
	if err == nil {
		return nil
	}
	var found []fact.TLSError
	found = append(found, judgeTime(chain, err, now)...)
	if leaf.VerifyHostname(name) != nil {
		found = append(found, nameMismatch(leaf, name))
	}
	found = append(found, judgeIssuer(chain, options)...)
	if len(found) == 0 {
		found = append(found, fact.TLSError{Code: fact.TLSBadCertificate, Message: "the certificate is not acceptable: " + reasonOf(err)})
	}
	first := found[0]
	for _, also := range found[1:] {
		if also.Code != first.Code {
			first.Also = append(first.Also, also.Code)
		}
	}
	return &first
}

func judgeTime(chain []*x509.Certificate, err error, now time.Time) []fact.TLSError {
	for i, c := range chain {
		// Servers send more than is needed, so one above the leaf counts only
		// where the verification stopped at it.
		if i > 0 && !stoppedAt(err, c) {
			continue
		}
		if now.After(c.NotAfter) {
			return []fact.TLSError{{Code: fact.TLSExpired, Message: fmt.Sprintf(
				"%s expired %s ago, on %s", which(i), roughly(now.Sub(c.NotAfter)), stamp(c.NotAfter))}}
		}
		if now.Before(c.NotBefore) {
			return []fact.TLSError{{Code: fact.TLSNotYetValid, Message: fmt.Sprintf(
				"%s becomes valid in %s, on %s; this machine's clock says %s", which(i), roughly(c.NotBefore.Sub(now)), stamp(c.NotBefore), stamp(now))}}
		}
	}
	return nil
}

func stoppedAt(err error, c *x509.Certificate) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Cert != nil && invalid.Cert.Equal(c)
}

// judgeIssuer verifies once more with name and time out of the way.
func judgeIssuer(chain []*x509.Certificate, options x509.VerifyOptions) []fact.TLSError {
	leaf := chain[0]
	options.DNSName = ""
	if options.CurrentTime.After(leaf.NotAfter) || options.CurrentTime.Before(leaf.NotBefore) {
		options.CurrentTime = leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	}
	_, err := leaf.Verify(options)
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		return nil
	}
	issuer := fact.TLSError{Code: fact.TLSUnknownCA, Message: unknownIssuer(chain)}
	weak := slices.IndexFunc(chain, weaklySigned)
	if weak < 0 {
		return []fact.TLSError{issuer}
	}
	found := []fact.TLSError{{Code: fact.TLSBadCertificate, Message: fmt.Sprintf(
		"%s is signed with the broken algorithm %s, which current clients refuse", which(weak), chain[weak].SignatureAlgorithm)}}
	if !strings.Contains(err.Error(), "insecure algorithm") { // so no candidate for the issuer is trusted either
		found = append(found, issuer)
	}
	return found
}

// weaklySigned reports whether clients refuse the signature for its algorithm; a
// root's own is not looked at.
func weaklySigned(c *x509.Certificate) bool {
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return !bytes.Equal(c.RawIssuer, c.RawSubject)
	}
	return false
}

// which names a certificate by its place in the chain.
func which(i int) string {
	if i == 0 {
		return "the server's certificate"
	}
	return fmt.Sprintf("certificate %d of the chain", i+1)
}

func unknownIssuer(chain []*x509.Certificate) string {
	last := chain[len(chain)-1]
	switch {
	case len(chain) == 1 && selfSigned(last):
		return "the server's certificate is signed by itself and is not among the trusted ones"
	case selfSigned(last):
		return fmt.Sprintf("the chain of %d certificates ends at a root that is not among the trusted ones", len(chain))
	case len(chain) == 1 && len(last.IssuingCertificateURL) > 0:
		return "the server sends its own certificate alone, and its issuer is not among the trusted ones: the intermediate certificate is probably missing"
	}
	return fmt.Sprintf("no trusted certificate has issued the last of the %d that the server sends: a private authority, or a missing intermediate", len(chain))
}

func nameMismatch(leaf *x509.Certificate, name string) fact.TLSError {
	other := func(format string, args ...any) fact.TLSError {
		return fact.TLSError{Code: fact.TLSNameMismatch, Message: fmt.Sprintf(format, args...)}
	}
	count := len(leaf.DNSNames) + len(leaf.IPAddresses)
	if count == 0 {
		old := x509.Certificate{DNSNames: []string{leaf.Subject.CommonName}}
		if old.VerifyHostname(name) == nil {
			return fact.TLSError{Code: fact.TLSBadCertificate, Message: fmt.Sprintf("the certificate names %s in its common name (CN) alone: "+
				"browsers, Go and Python want a subject alternative name, OpenSSL and curl do not", name)}
		}
		return other("the certificate is not for %s: it has no subject alternative names, and its common name is another", name)
	}
	if net.ParseIP(name) != nil && len(leaf.IPAddresses) == 0 {
		return other("the certificate is not for the address %s: its %d names are host names (untrusted.names)", name, count)
	}
	return other("the certificate is not for %s: its names are others, %d of them (untrusted.names)", name, count)
}

// reasonOf words the rarer reasons without the text of a certificate.
func reasonOf(err error) string {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) {
		return "it breaks a rule of X.509"
	}
	switch invalid.Reason {
	case x509.NotAuthorizedToSign:
		return "an issuer in the chain is no certificate authority"
	case x509.CANotAuthorizedForThisName, x509.NameConstraintsWithoutSANs, x509.UnconstrainedName:
		return "an issuer in the chain may not sign for this name"
	case x509.TooManyIntermediates:
		return "the chain is longer than an issuer in it allows"
	case x509.IncompatibleUsage, x509.CANotAuthorizedForExtKeyUsage:
		return "it is not for servers (extended key usage)"
	case x509.NameMismatch:
		return "an issuer's name does not match"
	}
	return "it breaks a rule of X.509"
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// Bounds of what is shown of a chain.
const (
	maxChain    = 6
	maxNames    = 20
	maxNameText = 200
)

// describe writes a certificate down.
func describe(c *x509.Certificate, now time.Time) fact.Certificate {
	sum := sha256.Sum256(c.Raw)
	d := fact.Certificate{
		NotBefore: stamp(c.NotBefore), NotAfter: stamp(c.NotAfter),
		DaysLeft: int(math.Floor(c.NotAfter.Sub(now).Hours() / 24)),
		Key:      keyKind(c), SelfSigned: selfSigned(c), IsCA: c.IsCA,
		SHA256: hex.EncodeToString(sum[:]),
	}
	d.Untrusted.Subject = line(c.Subject.String(), maxNameText)
	d.Untrusted.Issuer = line(c.Issuer.String(), maxNameText)
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for _, uri := range c.URIs { // SPIFFE identities of service meshes
		names = append(names, uri.String())
	}
	if len(names) > maxNames {
		d.Untrusted.NamesTotal = len(names)
		names = names[:maxNames]
	}
	for _, name := range names {
		d.Untrusted.Names = append(d.Untrusted.Names, line(name, maxNameText))
	}
	return d
}

func keyKind(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// roughly writes a duration in its largest unit.
func roughly(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}

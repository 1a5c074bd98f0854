package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Roots are the certificates by which a server's chain is judged.
type Roots struct {
	Pool *x509.CertPool
	// From says whose they are: "container:/etc/ssl/certs/ca-certificates.crt",
	// "host" or "embedded".
	From string
	// Unusable is a file of the container that was there and held no
	// certificate; its applications trust nobody.
	Unusable string
}

// bundleFiles are the places where distributions keep their bundle, as in
// crypto/x509/root_linux.go.
var bundleFiles = [...]string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine, distroless
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL 6
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/pki/tls/cacert.pem",                           // OpenELEC
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL 7
	"/etc/ssl/cert.pem",                                 // Alpine, OpenSSL
}

// bundleTime is how long the container's file systems are waited for.
const bundleTime = time.Second

// maxBundle bounds a bundle; Mozilla's has a quarter of a megabyte.
const maxBundle = 4 << 20

// ReadFunc reads at most limit bytes of a file of the container. Without files
// it fails with fs.ErrNotExist.
type ReadFunc func(ctx context.Context, name string, limit int64) ([]byte, error)

// LoadRoots returns the certificates that applications of the container trust,
// else those that this process's host trusts, else those that are built in.
// certFile is the container's SSL_CERT_FILE, which OpenSSL and Go obey; "" for
// none.
func LoadRoots(ctx context.Context, read ReadFunc, certFile string) Roots {
	var unusable string
	if read != nil {
		ctx, cancel := context.WithTimeout(ctx, bundleTime)
		defer cancel()
		files := bundleFiles[:]
		if certFile != "" {
			files = []string{certFile}
		}
		for _, name := range files {
			text, err := read(ctx, name, maxBundle)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			pool := x509.NewCertPool()
			if err == nil && pool.AppendCertsFromPEM(text) {
				return Roots{Pool: pool, From: "container:" + line(name, 256)}
			}
			unusable = line(name, 256)
		}
	}
	if pool, err := x509.SystemCertPool(); err == nil && !pool.Equal(x509.NewCertPool()) {
		return Roots{Pool: pool, From: "host", Unusable: unusable}
	}
	return Roots{Pool: embedded(), From: "embedded", Unusable: unusable}
}

// embedded is Mozilla's list as of the build.
func embedded() *x509.CertPool {
	pool := x509.NewCertPool()
	for root := range bundle.Roots() {
		certificate, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			continue // a root that this version of Go does not take
		}
		if root.Constraint == nil {
			pool.AddCert(certificate)
		} else {
			pool.AddCertWithConstraint(certificate, root.Constraint)
		}
	}
	return pool
}

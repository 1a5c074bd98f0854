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
	// "host:" and a path below the host's root, "host" for this process's own
	// system, or "embedded".
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

// bundleTime is how long the file systems of one side are waited for.
const bundleTime = time.Second

// maxBundle bounds a bundle; Mozilla's has a quarter of a megabyte.
const maxBundle = 4 << 20

// ReadFunc reads at most limit bytes of a file. Without files it fails with
// fs.ErrNotExist.
type ReadFunc func(ctx context.Context, name string, limit int64) ([]byte, error)

// RootFiles are where certificates are read from. Both may be nil.
type RootFiles struct {
	// Container reads files of the container.
	Container ReadFunc
	// CertFile is the container's SSL_CERT_FILE, which OpenSSL and Go obey; ""
	// for none.
	CertFile string
	// Host reads files of the host, where its root is not this process's. Then
	// what this process's own system trusts is an image's word and not asked.
	Host ReadFunc
}

// LoadRoots returns the certificates that applications of the container trust,
// else those that the host trusts, else those that are built in.
func LoadRoots(ctx context.Context, files RootFiles) Roots {
	names := bundleFiles[:]
	if files.CertFile != "" {
		names = []string{files.CertFile}
	}
	name, pool, unusable := readBundle(ctx, files.Container, names)
	if pool != nil {
		return Roots{Pool: pool, From: "container:" + name}
	}
	if files.Host != nil {
		if name, pool, _ := readBundle(ctx, files.Host, bundleFiles[:]); pool != nil {
			return Roots{Pool: pool, From: "host:" + name, Unusable: unusable}
		}
	} else if pool, err := x509.SystemCertPool(); err == nil && !pool.Equal(x509.NewCertPool()) {
		return Roots{Pool: pool, From: "host", Unusable: unusable}
	}
	return Roots{Pool: embedded(), From: "embedded", Unusable: unusable}
}

// readBundle returns the first bundle that is there and holds certificates, and
// the last that is there and holds none.
func readBundle(ctx context.Context, read ReadFunc, names []string) (name string, pool *x509.CertPool, unusable string) {
	if read == nil {
		return "", nil, ""
	}
	ctx, cancel := context.WithTimeout(ctx, bundleTime)
	defer cancel()
	for _, name := range names {
		text, err := read(ctx, name, maxBundle)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		pool := x509.NewCertPool()
		if err == nil && pool.AppendCertsFromPEM(text) {
			return line(name, 256), pool, unusable
		}
		unusable = line(name, 256)
	}
	return "", nil, unusable
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

package fetch

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"testing"
	"time"
)

func TestLoadRoots(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
	files := func(have map[string][]byte) ReadFunc {
		return func(_ context.Context, name string, _ int64) ([]byte, error) {
			if text, ok := have[name]; ok {
				return text, nil
			}
			return nil, fs.ErrNotExist
		}
	}
	for _, c := range []struct {
		name     string
		read     ReadFunc
		certFile string
		from     string // "" for host or embedded
		unusable string
	}{
		{"Debian", files(map[string][]byte{"/etc/ssl/certs/ca-certificates.crt": text}), "", "container:/etc/ssl/certs/ca-certificates.crt", ""},
		{"Red Hat", files(map[string][]byte{"/etc/pki/tls/certs/ca-bundle.crt": text}), "", "container:/etc/pki/tls/certs/ca-bundle.crt", ""},
		{"SSL_CERT_FILE", files(map[string][]byte{"/my\x1bca.pem": text, "/etc/ssl/cert.pem": nil}), "/my\x1bca.pem", `container:/my\x1bca.pem`, ""},
		{"empty file before a good one", files(map[string][]byte{"/etc/ssl/certs/ca-certificates.crt": nil, "/etc/ssl/cert.pem": text}), "", "container:/etc/ssl/cert.pem", ""},
		{"no file", files(nil), "", "", ""},
		{"no files at all", nil, "", "", ""},
		{"nonsense", files(map[string][]byte{"/etc/ssl/cert.pem": []byte("nonsense")}), "", "", "/etc/ssl/cert.pem"},
		{"SSL_CERT_FILE that is not there", files(map[string][]byte{"/etc/ssl/cert.pem": text}), "/gone.pem", "", ""},
	} {
		roots := LoadRoots(t.Context(), RootFiles{Container: c.read, CertFile: c.certFile})
		if roots.Pool == nil || roots.Unusable != c.unusable {
			t.Errorf("%s: %+v", c.name, roots)
		}
		if c.from == "" && roots.From != "host" && roots.From != "embedded" || c.from != "" && roots.From != c.from {
			t.Errorf("%s: from %s", c.name, roots.From)
		}
		if c.from != "" {
			leaf := ca.issue(nil, "a.test").Leaf
			if e := verify([]*x509.Certificate{leaf}, roots.Pool, "a.test", time.Now()); e != nil {
				t.Errorf("%s: %+v", c.name, e)
			}
		}
	}
}

// Below another root than this process's own, the host's bundle counts, and what
// the image of this process trusts does not.
func TestHostRoots(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
	with := func(path string, text []byte) ReadFunc {
		return func(_ context.Context, name string, _ int64) ([]byte, error) {
			if name == path {
				return text, nil
			}
			return nil, fs.ErrNotExist
		}
	}
	for _, path := range bundleFiles {
		roots := LoadRoots(t.Context(), RootFiles{Container: with("/etc/ssl/cert.pem", nil), Host: with(path, text)})
		if roots.From != "host:"+path || roots.Unusable != "/etc/ssl/cert.pem" || !roots.Pool.Equal(poolOf(ca)) {
			t.Errorf("%s: %+v", path, roots)
		}
	}
	// A variable of the container does not say where the host has its bundle.
	roots := LoadRoots(t.Context(), RootFiles{CertFile: "/secret", Container: with("", nil), Host: with("/secret", text)})
	if roots.From != "embedded" {
		t.Errorf("%+v", roots)
	}
	if roots := LoadRoots(t.Context(), RootFiles{Container: with("/etc/ssl/cert.pem", text), Host: with("/etc/ssl/cert.pem", text)}); roots.From != "container:/etc/ssl/cert.pem" {
		t.Errorf("%+v", roots)
	}
}

func poolOf(a *authority) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func TestEmbeddedRoots(t *testing.T) {
	t.Parallel()
	if embedded().Equal(x509.NewCertPool()) {
		t.Error("there are none")
	}
}

func TestRoughly(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		time.Second: "1 seconds", 90 * time.Second: "90 seconds", 3 * time.Minute: "3 minutes", 47 * time.Hour: "47 hours", 72 * time.Hour: "3 days",
	} {
		if got := roughly(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

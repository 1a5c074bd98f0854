package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/tools/fact"
)

func TestTLSFailures(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ok := func(http.ResponseWriter, *http.Request) {}
	ip := b.server.IP.String()
	config := func(cert tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{cert}} }
	past := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-100*time.Hour), time.Now().Add(-50*time.Hour)
	}
	future := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(5*time.Hour), time.Now().Add(10*time.Hour)
	}
	stranger := newAuthority(t)
	sub := b.ca.intermediate()
	subCert := func(t *x509.Certificate) { t.IssuingCertificateURL = []string{"http://ca.test/sub.crt"} }

	for _, c := range []struct {
		name   string
		config *tls.Config
		code   string
		also   []string
		says   string
	}{
		{"expired", config(b.ca.issue(past, ip)), fact.TLSExpired, nil, "expired 2 days ago, on "},
		{"not yet valid", config(b.ca.issue(future, ip)), fact.TLSNotYetValid, nil, "becomes valid in 4 hours"},
		{"wrong name", config(b.ca.issue(nil, "other.test")), fact.TLSNameMismatch, nil, "are host names"},
		{"wrong address", config(b.ca.issue(nil, "192.0.2.1")), fact.TLSNameMismatch, nil, "not for " + ip},
		{"no names", config(b.ca.issue(nil)), fact.TLSNameMismatch, nil, "its common name is another"},
		{"unknown authority", config(stranger.issue(nil, ip)), fact.TLSUnknownCA, nil, "private authority"},
		{"everything wrong", config(stranger.issue(past, "other.test")), fact.TLSExpired, []string{fact.TLSNameMismatch, fact.TLSUnknownCA}, "expired"},
		{"signed by itself", config(selfSignedCert(b, ip)), fact.TLSUnknownCA, nil, "signed by itself"},
		{"missing intermediate", config(sub.issue(subCert, ip)), fact.TLSUnknownCA, nil, "the intermediate certificate is probably missing"},
		{"foreign root sent", config(withChain(stranger.issue(nil, ip), stranger.cert)), fact.TLSUnknownCA, nil, "ends at a root that is not among the trusted ones"},
		{"expired intermediate", config(expiredIntermediate(b, ip)), fact.TLSExpired, nil, "certificate 2 of the chain expired"},
		{"not for servers", config(b.ca.issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, ip)),
			fact.TLSBadCertificate, nil, "extended key usage"},
		{"client certificate, TLS 1.3", &tls.Config{ClientAuth: tls.RequireAnyClientCert}, fact.TLSClientCertRequired, nil, "mutual TLS"},
		{"client certificate, TLS 1.2", &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12},
			fact.TLSClientCertRequired, nil, "mutual TLS"},
		{"old version", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, fact.TLSAlert, nil, "neither TLS 1.2 nor TLS 1.3"},
	} {
		b.run(c.name, func(b *bench) {
			at := b.secure(c.config, ok)
			f := b.get("https://" + at)
			b.expect(f, fact.OutcomeTLSFailed, fact.StageTLS)
			e := f.TLS.Error
			if e == nil || e.Code != c.code || !slices.Equal(e.Also, c.also) || !strings.Contains(e.Message, c.says) {
				b.Fatalf("%+v, want %s also %v: ...%s...", e, c.code, c.also, c.says)
			}
			if f.Status != nil {
				b.Errorf("status %d", *f.Status)
			}
			switch c.code {
			case fact.TLSAlert, fact.TLSClientCertRequired:
				return
			}
			if f.TLS.Verified || len(f.TLS.Chain) == 0 || f.TLS.RootsFrom != "test" {
				b.Errorf("chain %v, roots %s", f.TLS.Chain, f.TLS.RootsFrom)
			}
			f = b.fetch(Request{URL: "https://" + at, Insecure: true})
			b.expect(f, fact.OutcomeOK, fact.StageDone)
			if f.TLS.Error == nil || f.TLS.Error.Code != c.code || f.TLS.Verified || !f.TLS.Insecure {
				b.Errorf("with insecure: %+v", f.TLS)
			}
		})
	}
}

func TestIntermediateThatIsSentIsUsed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	sub := b.ca.intermediate()
	cert := withChain(sub.issue(nil, b.server.IP.String()), sub.cert)
	f := b.get("https://" + b.secure(&tls.Config{Certificates: []tls.Certificate{cert}}, func(http.ResponseWriter, *http.Request) {}))
	b.expect(f, fact.OutcomeOK, fact.StageDone)
	if !f.TLS.Verified || len(f.TLS.Chain) != 1 || f.TLS.ChainLength != 2 {
		t.Errorf("%+v", f.TLS)
	}
}

func TestOptionalClientCertificate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.get("https://" + b.secure(&tls.Config{ClientAuth: tls.RequestClientCert}, func(http.ResponseWriter, *http.Request) {}))
	b.expect(f, fact.OutcomeOK, fact.StageDone)
	if !f.TLS.ClientCertRequested {
		t.Error("the request for a certificate went unnoticed")
	}
}

func TestNotTLS(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run("plain HTTP on the port", func(b *bench) {
		f := b.get("https://" + b.serve(http.NotFound))
		b.expect(f, fact.OutcomeTLSFailed, fact.StageTLS)
		if f.TLS.Error.Code != fact.TLSNotTLS || !strings.Contains(f.Reason, "use http://") || !strings.HasPrefix(f.Untrusted.FirstBytes, "HTTP/1.") {
			b.Errorf("%+v", f)
		}
	})
	b.run("something else on the port", func(b *bench) {
		f := b.get("https://" + b.raw(func(conn net.Conn) {
			_, _ = io.WriteString(conn, "220 mail.test \x1b[31mESMTP\r\n")
			_, _ = io.Copy(io.Discard, conn)
		}))
		b.expect(f, fact.OutcomeTLSFailed, fact.StageTLS)
		if f.TLS.Error.Code != fact.TLSNotTLS || f.Untrusted.FirstBytes != `220 mail.test \x1b[31mESMTP\r\n` {
			b.Errorf("%+v %+v", f.TLS.Error, f.Untrusted)
		}
	})
	b.run("closed during the handshake", func(b *bench) {
		f := b.get("https://" + b.raw(func(conn net.Conn) { _, _ = conn.Read(make([]byte, 64<<10)) }))
		b.expect(f, fact.OutcomeTLSFailed, fact.StageTLS)
		if f.TLS.Error.Code != fact.TLSClosed {
			b.Errorf("%+v", f.TLS.Error)
		}
	})
	b.run("reset during the handshake", func(b *bench) {
		f := b.get("https://" + b.raw(func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 64<<10))
			_ = conn.(*net.TCPConn).SetLinger(0)
		}))
		b.expect(f, fact.OutcomeReset, fact.StageTLS)
	})
	b.together(map[string]func(b *bench){
		"silence": func(b *bench) {
			f := b.fetchWithin(Request{URL: "https://" + b.silent()}, hang)
			b.expect(f, fact.OutcomeTimeout, fact.StageTLS)
			if !strings.Contains(f.Reason, "the application is silent") {
				b.Errorf("%s", f.Reason)
			}
		},
		"no time left for the handshake": func(b *bench) {
			ctx, cancel := context.WithTimeout(b.Context(), hang)
			defer cancel()
			b.client.Roots = func(context.Context) Roots { <-ctx.Done(); return b.ca.roots() }
			f, err := b.client.Do(ctx, Request{URL: "https://" + b.silent()})
			b.must(err)
			b.expect(f, fact.OutcomeTimeout, fact.StageTLS)
		},
	})
	b.run("TLS on the port of http", func(b *bench) {
		f := b.get("http://" + b.raw(func(conn net.Conn) {
			readRequest(conn)
			_, _ = conn.Write([]byte{0x15, 3, 1, 0, 2, 2, 10}) // OpenSSL's alert: unexpected message
		}))
		b.expect(f, fact.OutcomeNotHTTP, fact.StageResponse)
		if !strings.Contains(f.Reason, "use https://") {
			b.Errorf("%s", f.Reason)
		}
	})
	b.run("nonsense in a record", func(b *bench) {
		f := b.get("https://" + b.raw(func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 64<<10))
			_, _ = conn.Write([]byte{0x16, 3, 3, 0, 4, 2, 0xff, 0xff, 0xff})
			_, _ = io.Copy(io.Discard, conn)
		}))
		if f.Outcome != fact.OutcomeTLSFailed && f.Outcome != fact.OutcomeTimeout {
			b.Errorf("%s", f.Outcome)
		}
	})
}

func selfSignedCert(b *bench, ip string) tls.Certificate {
	b.Helper()
	cert, key := b.ca.make(&x509.Certificate{
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.ParseIP(ip)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, nil)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func expiredIntermediate(b *bench, ip string) tls.Certificate {
	b.Helper()
	old := &authority{TB: b.TB}
	old.cert, old.key = b.ca.make(&x509.Certificate{
		Subject: b.ca.cert.Subject, NotBefore: time.Now().Add(-50 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, b.ca)
	return withChain(old.issue(nil, ip), old.cert)
}

func withChain(c tls.Certificate, more ...*x509.Certificate) tls.Certificate {
	for _, m := range more {
		c.Certificate = append(c.Certificate, m.Raw)
	}
	return c
}

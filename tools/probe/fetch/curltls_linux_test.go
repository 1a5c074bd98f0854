package fetch

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// curlTLS is what curl -v says of a connection with TLS, and what its library,
// OpenSSL, reads in the certificates.
type curlTLS struct {
	version, cipher, alpn string
	http                  string
	certificates          []curlCertificate
	text                  string
}

type curlCertificate struct {
	subject, issuer []string // "CN=server"; sorted, as libraries order them differently
	names           []string // likewise
	sha256          string
}

var (
	curlConnection = regexp.MustCompile(`(?m)^\* SSL connection using (\S+) / (\S+)`)
	curlALPN       = regexp.MustCompile(`(?m)^\* ALPN: server accepted (\S+)`)
	curlStatus     = regexp.MustCompile(`(?m)^< HTTP/(\S+) \d`)
)

func (b *bench) curlTLS(args ...string) curlTLS {
	b.Helper()
	ca, trace := filepath.Join(b.TempDir(), "ca.pem"), filepath.Join(b.TempDir(), "trace")
	b.must(os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.ca.cert.Raw}), 0o600))
	args = append([]string{"-q", "-s", "-v", "--stderr", trace, "-m", "10", "--cacert", ca, "-o", os.DevNull, "-w", "%{certs}"}, args...)
	certificates, err := b.pod.Output("curl", args...)
	text, _ := os.ReadFile(trace)
	if err != nil {
		b.Fatalf("%v\n%s", err, text)
	}
	c := curlTLS{certificates: readCertificates(b, string(certificates)), text: string(text)}
	if m := curlConnection.FindStringSubmatch(c.text); m != nil {
		c.version, c.cipher = m[1], m[2]
	}
	if m := curlALPN.FindStringSubmatch(c.text); m != nil {
		c.alpn = m[1]
	}
	if m := curlStatus.FindStringSubmatch(c.text); m != nil {
		c.http = m[1]
	}
	return c
}

// readCertificates reads what curl writes for %{certs}: for each certificate lines
// of a name and a value, and then the certificate itself.
func readCertificates(b *bench, text string) []curlCertificate {
	b.Helper()
	var list []curlCertificate
	var c curlCertificate
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "Subject":
			c.subject = parts(strings.ReplaceAll(value, " = ", "="))
		case "Issuer":
			c.issuer = parts(strings.ReplaceAll(value, " = ", "="))
		case "X509v3 Subject Alternative Name":
			value = strings.NewReplacer("DNS:", "", "IP Address:", "", "URI:", "").Replace(value)
			c.names = parts(value)
		case "-----BEGIN CERTIFICATE-----":
			block, rest := pem.Decode([]byte(text[strings.Index(text, "-----BEGIN"):]))
			if block == nil {
				b.Fatalf("no certificate in %s", text)
			}
			sum := sha256.Sum256(block.Bytes)
			c.sha256 = hex.EncodeToString(sum[:])
			text = string(rest)
			list, c = append(list, c), curlCertificate{}
		}
	}
	return list
}

// parts are the members of a list with commas, sorted.
func parts(text string) []string {
	list := strings.Split(text, ",")
	for i, part := range list {
		list[i] = strings.TrimSpace(part)
	}
	slices.Sort(list)
	return list
}

// openSSL are OpenSSL's names of the ciphers of TLS 1.2. Those of TLS 1.3 have one
// name only.
var openSSL = map[uint16]string{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       "ECDHE-ECDSA-AES128-GCM-SHA256",
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       "ECDHE-ECDSA-AES256-GCM-SHA384",
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA:          "ECDHE-ECDSA-AES256-SHA",
}

func openSSLName(cipher string) string {
	for id, name := range openSSL {
		if tls.CipherSuiteName(id) == cipher {
			return name
		}
	}
	return cipher
}

// What a handshake shows is what curl and OpenSSL see of it from the same pod.
func TestTLSAgainstCurl(t *testing.T) {
	t.Parallel()
	lab.Program(t, "curl")
	b := newBench(t)
	ip := b.server.IP.String()
	sub := b.ca.intermediate()
	rich := sub.issue(func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "shop", Organization: []string{"Lab"}, OrganizationalUnit: []string{"Web"}, Country: []string{"CH"}}
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/shop/sa/web"}}
	}, "shop.test", "*.shop.test", "server.test", ip, "fd00::7")
	rich.Certificate = append(rich.Certificate, sub.cert.Raw)
	whole := rich
	whole.Certificate = slices.Concat(rich.Certificate, [][]byte{b.ca.cert.Raw})

	h2, h1 := []string{"h2", "http/1.1"}, []string{"http/1.1"}
	for _, c := range []struct {
		name     string
		config   *tls.Config
		request  Request
		args     []string
		alpn     string
		protocol string
	}{
		{"TLS 1.3 and HTTP/2", &tls.Config{NextProtos: h2}, Request{}, nil, "h2", "HTTP/2.0"},
		{"TLS 1.3 and HTTP/1.1", &tls.Config{NextProtos: h1}, Request{}, nil, "http/1.1", "HTTP/1.1"},
		{"TLS 1.3, HTTP/1.1 by the client", &tls.Config{NextProtos: h2}, Request{Version: HTTP1}, []string{"--http1.1"}, "http/1.1", "HTTP/1.1"},
		{"TLS 1.3, no ALPN", &tls.Config{}, Request{}, nil, "", "HTTP/1.1"},
		{"TLS 1.2 and HTTP/2", &tls.Config{NextProtos: h2, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
			Request{}, nil, "h2", "HTTP/2.0"},
		{"TLS 1.2 and HTTP/1.1", &tls.Config{NextProtos: h1, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}},
			Request{}, nil, "http/1.1", "HTTP/1.1"},
		{"TLS 1.2, another cipher", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}},
			Request{}, nil, "", "HTTP/1.1"},
		{"TLS 1.2, an old cipher", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}},
			Request{}, nil, "", "HTTP/1.1"},
		{"a chain", &tls.Config{NextProtos: h2, Certificates: []tls.Certificate{rich}}, Request{}, nil, "h2", "HTTP/2.0"},
		{"a chain with its root", &tls.Config{NextProtos: h1, Certificates: []tls.Certificate{whole}, MaxVersion: tls.VersionTLS12},
			Request{}, nil, "http/1.1", "HTTP/1.1"},
		{"a name", &tls.Config{NextProtos: h2, Certificates: []tls.Certificate{rich}},
			Request{Resolve: []string{"a.shop.test:PORT:" + ip}, URL: "https://a.shop.test:PORT/"}, []string{"--resolve", "a.shop.test:PORT:" + ip}, "h2", "HTTP/2.0"},
		{"a stranger's, insecure", &tls.Config{NextProtos: h2, Certificates: []tls.Certificate{newAuthority(t).issue(nil, "other.test")}},
			Request{Insecure: true}, []string{"-k"}, "h2", "HTTP/2.0"},
	} {
		b.run(c.name, func(b *bench) {
			at := b.serveTLS(c.config)
			port := at[strings.LastIndexByte(at, ':')+1:]
			fill := func(text string) string { return strings.ReplaceAll(text, "PORT", port) }
			if c.request.URL = fill(c.request.URL); c.request.URL == "" {
				c.request.URL = "https://" + at + "/"
			}
			for i := range c.request.Resolve {
				c.request.Resolve[i] = fill(c.request.Resolve[i])
			}
			for i := range c.args {
				c.args[i] = fill(c.args[i])
			}
			c.request.Details = true
			theirs := b.curlTLS(append(c.args, c.request.URL)...)
			ours := b.fetch(c.request)
			b.expect(ours, fact.OutcomeOK, fact.StageDone)
			if ours.TLS == nil || ours.TLS.ALPN != c.alpn || ours.Protocol != c.protocol {
				b.Fatalf("%s over %+v, want %s and ALPN %q", ours.Protocol, ours.TLS, c.protocol, c.alpn)
			}
			compareTLS(b, ours, &theirs)
		})
	}
}

// serveTLS is secure with exactly the protocols of the configuration: package
// net/http would add its own.
func (b *bench) serveTLS(config *tls.Config) string {
	b.Helper()
	if config.Certificates == nil {
		config.Certificates = []tls.Certificate{b.ca.issue(nil, b.server.IP.String(), "server.test")}
	}
	listener, err := b.server.Listen("tcp", b.server.IP.String()+":0")
	b.must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ReadHeaderTimeout: 10 * time.Second, Protocols: &http.Protocols{}}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(slices.Contains(config.NextProtos, "h2"))
	b.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(tls.NewListener(listener, config)) }() // ends with the server
	return listener.Addr().String()
}

func compareTLS(b *bench, ours *fact.Fetch, theirs *curlTLS) {
	b.Helper()
	same := func(what string, our, their any) {
		b.Helper()
		if fmt.Sprint(our) != fmt.Sprint(their) {
			b.Errorf("%s: %v, curl has %v in\n%s", what, our, their, theirs.text)
		}
	}
	same("version", strings.Replace(ours.TLS.Version, " ", "v", 1), theirs.version)
	same("cipher", openSSLName(ours.TLS.Cipher), theirs.cipher)
	same("ALPN", ours.TLS.ALPN, theirs.alpn)
	same("HTTP", strings.TrimSuffix(strings.TrimPrefix(ours.Protocol, "HTTP/"), ".0"), theirs.http)
	same("certificates", len(ours.TLS.Chain), len(theirs.certificates))
	for i := range min(len(ours.TLS.Chain), len(theirs.certificates)) {
		our, their := &ours.TLS.Chain[i], &theirs.certificates[i]
		same("subject", parts(our.Untrusted.Subject), their.subject)
		same("issuer", parts(our.Untrusted.Issuer), their.issuer)
		same("SHA-256", our.SHA256, their.sha256)
		names := slices.Clone(our.Untrusted.Names)
		for i, name := range names {
			if name == "fd00::7" {
				names[i] = "FD00:0:0:0:0:0:0:7" // as OpenSSL writes it
			}
		}
		slices.Sort(names)
		same("names", names, their.names)
	}
}

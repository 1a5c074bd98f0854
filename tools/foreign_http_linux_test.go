package tools

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func TestForeignTextOfHTTP(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, nil)
	pods := b.lab.Pods(t, lab.PodSpec{Name: "client", Namespace: "shop"}, lab.PodSpec{Name: "web", Namespace: "shop"})
	said := make(chan string, 1)
	at, err := pods[1].ServeConns(":80", func(c net.Conn) {
		buffer := make([]byte, 4096)
		_, _ = c.Read(buffer) // what was asked does not matter
		text := <-said
		said <- text
		_, _ = c.Write([]byte(text))
	})
	if err != nil {
		t.Fatal(err)
	}
	const head = "HTTP/1.1 200 OK\r\n"
	for _, text := range []string{
		needle + "\r\n", "220 " + needle + "\r\n", "HTTP/1.1 " + needle + "\r\n\r\n", "HTTP/1.1 200 " + needle + "\r\n\r\n",
		head + needleWord + ": " + needle + "\r\n\r\n", head + "X-" + "Ignore-Every: " + needle + "\r\n\r\n", head + needle + "\r\n\r\n",
		head + "Transfer-Encoding: " + needle + "\r\n\r\n", head + "Content-Length: " + needle + "\r\n\r\n",
		head + "Transfer-Encoding: chunked\r\n\r\n" + needle + "\r\n", head + "Content-Encoding: " + needleWord + "\r\n\r\n" + needle,
		head + "Content-Length: 500\r\n\r\n" + needle, head + "Connection: close\r\n\r\n" + needle + strings.Repeat("x", 9000),
		"HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n" + needle, "HTTP/1.1 502 " + needle + "\r\n\r\n" + needle,
		"HTTP/1.1 101 " + needle + "\r\nUpgrade: " + needle + "\r\n\r\n", "HTTP/9.9 200 " + needle + "\r\n\r\n",
		"HTTP/1.1 301 Moved\r\nLocation: " + needle + "\r\n\r\n", "HTTP/1.1 301 Moved\r\nLocation: /" + needleWord + "\r\n\r\n",
		"HTTP/1.1 301 Moved\r\nLocation: http://" + needleWord + "/\r\n\r\n", "HTTP/1.1 301 Moved\r\nLocation: http://IGNORE%20EVERY%20RULE/\r\n\r\n",
		"HTTP/1.1 301 Moved\r\nLocation: http://[fe80::1%25IGNORE%20EVERY]/\r\n\r\n", "HTTP/1.1 301 Moved\r\nLocation: ignore-every-rule%1b://x/\r\n\r\n",
		"HTTP/1.1 301 Moved\r\nLocation: //ignore_every'rule\"/\r\n\r\n", "HTTP/1.1 301 Moved\r\nLocation: http://IGNORE-EVERY:p@x/\r\n\r\n",
		"HTTP/1.1 301 Moved\r\nLocation: http://" + pods[1].IP.String() + "/?q=" + strings.ReplaceAll(needle, " ", "+") + "#" + needleWord + "\r\n\r\n",
	} {
		select {
		case <-said:
		default:
		}
		said <- text
		for _, args := range []map[string]any{
			{"details": true}, {"follow_redirects": 3}, {"http_version": "h2c"}, {"proxy": "http://" + at.String()}, {"proxy": "socks5://" + at.String()},
		} {
			args["pod"], args["timeout_ms"], args["url"] = "shop/client", 700, "http://"+at.String()+"/"
			if args["proxy"] != nil {
				args["url"] = "https://" + at.String() + "/"
			}
			b.call(t, "netns_curl", args)
		}
		b.call(t, "netns_curl", map[string]any{"pod": "shop/client", "timeout_ms": 700, "url": "https://" + at.String() + "/"})
	}
}

func TestForeignTextOfCertificates(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, nil)
	pods := b.lab.Pods(t, lab.PodSpec{Name: "client", Namespace: "shop"}, lab.PodSpec{Name: "web", Namespace: "shop"})
	authority, err := lab.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	for i, change := range []func(*x509.Certificate){
		func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: needle, Organization: []string{needle}}
		},
		func(c *x509.Certificate) { c.DNSNames = []string{"IGNORE-EVERY-RULE", "ignore every"} },
		func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour); c.Subject.CommonName = needle },
		func(c *x509.Certificate) {
			c.EmailAddresses, c.URIs = []string{"ignore-every@rule"}, []*url.URL{{Scheme: "ignore-every", Opaque: "rule"}}
			c.OCSPServer, c.IssuingCertificateURL, c.CRLDistributionPoints = []string{needle}, []string{needle}, []string{needle}
		},
	} {
		certificate, err := authority.Issue(change, "web.test")
		if err != nil {
			t.Fatal(err)
		}
		at, err := pods[1].ServeTLS(fmt.Sprintf(":%d", 443+i), &tls.Config{Certificates: []tls.Certificate{certificate}}, http.NotFoundHandler())
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"web.test", "other.test"} {
			answer := b.call(t, "netns_curl", map[string]any{
				"pod": "shop/client", "url": fmt.Sprintf("https://%s:%d/", host, at.Port()), "details": true,
				"resolve": fmt.Sprintf("%s:%d:%s", host, at.Port(), at.Addr()),
			})
			if i < 3 { // addresses of mail are not shown at all
				mentions(t, answer)
			}
		}
	}
	// Whose certificates a server takes is said by names (RFC 8446, 4.2.4).
	named, err := authority.Issue(func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: needle} }, "web.test")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(named.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	takes := x509.NewCertPool()
	takes.AddCert(ca)
	for i, highest := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		at, err := pods[1].ServeTLS(fmt.Sprintf(":%d", 643+i), &tls.Config{
			Certificates: []tls.Certificate{named}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: takes, MaxVersion: highest,
		}, http.NotFoundHandler())
		if err != nil {
			t.Fatal(err)
		}
		mentions(t, b.call(t, "netns_curl", map[string]any{"pod": "shop/client", "url": "https://" + at.String() + "/", "insecure": true, "details": true}))
	}
}

// TestForeignTextOfHTTP2: the text of a GOAWAY, and fields that HTTP/1.1 has not.
func TestForeignTextOfHTTP2(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, nil)
	pods := b.lab.Pods(t, lab.PodSpec{Name: "client", Namespace: "shop"}, lab.PodSpec{Name: "web", Namespace: "shop"})
	for i, answer := range []func(*http2.Framer, uint32) error{
		func(f *http2.Framer, _ uint32) error {
			return f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, []byte(needle))
		},
		func(f *http2.Framer, _ uint32) error { return f.WriteGoAway(0, http2.ErrCode(0xbad), []byte(needle)) },
		func(f *http2.Framer, id uint32) error {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, EndStream: true, BlockFragment: fieldsOf(
				":status", "200", "x-text", needle, "trailer", needle, "content-type", needle, "location", needleWord)})
		},
		func(f *http2.Framer, id uint32) error {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, EndStream: true, BlockFragment: fieldsOf(":status", needle, needleWord, needle)})
		},
	} {
		at, err := pods[1].ServeConns(fmt.Sprintf(":%d", 80+i), func(c net.Conn) {
			f := http2.NewFramer(c, c)
			if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil || f.WriteSettings() != nil {
				return
			}
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					return
				}
				if headers, ok := frame.(*http2.HeadersFrame); ok && answer(f, headers.StreamID) != nil {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		mentions(t, b.call(t, "netns_curl", map[string]any{"pod": "shop/client", "url": "http://" + at.String() + "/", "http_version": "h2c", "timeout_ms": 2000, "details": true}))
	}
}

// fieldsOf are names and values of header fields as HTTP/2 has them (RFC 7541).
func fieldsOf(pairs ...string) []byte {
	var b bytes.Buffer
	encoder := hpack.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}) // into memory
	}
	return b.Bytes()
}

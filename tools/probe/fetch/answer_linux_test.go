package fetch

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/tools/fact"
)

func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }

func TestAnswers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	hello := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto)
		_, _ = fmt.Fprintf(w, "hello %s %s %s\n", r.Method, r.Host, r.URL)
	}

	b.run("plain", func(b *bench) {
		at := b.serve(hello)
		f := b.get("http://" + at + "/path?q=1")
		b.expect(f, fact.OutcomeOK, fact.StageDone)
		if *f.Status != 200 || f.Protocol != "HTTP/1.1" || f.Remote != at || f.TLS != nil || f.DNS != nil {
			b.Errorf("%+v", f)
		}
		if want := "hello GET " + at + " /path?q=1\n"; f.Untrusted.Body != want || *f.BodyBytes != int64(len(want)) || !*f.BodyComplete {
			b.Errorf("body %q", f.Untrusted.Body)
		}
		for name, ms := range map[string]*float64{"connect": f.Timings.ConnectMS, "first byte": f.Timings.FirstByteMS, "body": f.Timings.BodyMS} {
			if ms == nil || *ms < 0 || *ms > 1000 {
				b.Errorf("%s took %v", name, ms)
			}
		}
		if f.Timings.TLSMS != nil || f.Timings.DNSMS != nil {
			b.Errorf("timings of phases that did not take place: %+v", f.Timings)
		}
	})
	b.run("TLS, HTTP/2", func(b *bench) {
		f := b.get("https://" + b.secure(&tls.Config{}, hello))
		b.expect(f, fact.OutcomeOK, fact.StageDone)
		if f.Protocol != "HTTP/2.0" || f.TLS.ALPN != "h2" || f.TLS.Version != "TLS 1.3" || !f.TLS.Verified || f.TLS.SNI != "" || f.Timings.TLSMS == nil {
			b.Errorf("%+v", f.TLS)
		}
		if f.Untrusted.Headers["X-Proto"] != "HTTP/2.0" {
			b.Errorf("the server saw %s", f.Untrusted.Headers["X-Proto"])
		}
	})
	b.run("TLS 1.2, HTTP/1.1 by request", func(b *bench) {
		f := b.fetch(Request{URL: "https://" + b.secure(&tls.Config{MaxVersion: tls.VersionTLS12}, hello), Version: HTTP1})
		b.expect(f, fact.OutcomeOK, fact.StageDone)
		if f.Protocol != "HTTP/1.1" || f.TLS.ALPN != "http/1.1" || f.TLS.Version != "TLS 1.2" || f.TLS.Cipher == "" {
			b.Errorf("%s %+v", f.Protocol, f.TLS)
		}
	})
	b.run("HTTP/2 that the server does not speak", func(b *bench) {
		f := b.fetch(Request{URL: "https://" + b.secure(&tls.Config{NextProtos: []string{"http/1.1"}}, hello), Version: HTTP2})
		b.expect(f, fact.OutcomeTLSFailed, fact.StageTLS)
		if f.TLS.Error == nil || f.TLS.Error.Alert != alertNoApplicationProto {
			b.Errorf("%+v", f.TLS.Error)
		}
	})
	b.run("h2c", func(b *bench) {
		at := b.serveH2C(http.HandlerFunc(hello))
		f := b.fetch(Request{URL: "http://" + at, Version: H2C})
		b.expect(f, fact.OutcomeOK, fact.StageDone)
		if f.Protocol != "HTTP/2.0" || f.Untrusted.Headers["X-Proto"] != "HTTP/2.0" {
			b.Errorf("%s, the server saw %s", f.Protocol, f.Untrusted.Headers["X-Proto"])
		}
	})
	b.run("h2c to a server that does not speak it", func(b *bench) {
		for answer, want := range map[string]string{
			"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n": "the server speaks HTTP/1.1, not h2c: it answered with status 400",
			"HTTP/1.0 505\r\n\r\n":  "the server speaks HTTP/1.0, not h2c: it answered with status 505",
			"HTTP/1.1 evil\r\n\r\n": "the server speaks HTTP/1.1, not h2c",
		} {
			f := b.fetch(Request{URL: "http://" + b.says(answer), Version: H2C})
			b.expect(f, fact.OutcomeNotHTTP, fact.StageResponse)
			if f.Reason != want || f.ReasonCode != fact.ReasonNoHTTP2 {
				b.Errorf("%q: %s, %q", answer, f.ReasonCode, f.Reason)
			}
		}
	})
	b.run("h2c to Go's own server without it", func(b *bench) {
		f := b.fetch(Request{URL: "http://" + b.serve(hello), Version: H2C})
		b.expect(f, fact.OutcomeNotHTTP, fact.StageResponse)
		if f.ReasonCode != fact.ReasonNoHTTP2 || !strings.HasPrefix(f.Reason, "the server speaks HTTP/1.1, not h2c") {
			b.Errorf("%s, %q", f.ReasonCode, f.Reason)
		}
	})
	b.run("HEAD", func(b *bench) {
		f := b.fetch(Request{URL: "http://" + b.serve(hello), Method: "head"})
		b.expect(f, fact.OutcomeOK, fact.StageDone)
		if f.Method != "HEAD" || *f.BodyBytes != 0 {
			b.Errorf("%+v", f)
		}
	})
	b.run("error status", func(b *bench) {
		f := b.get("http://" + b.serve(http.NotFound))
		b.expect(f, fact.OutcomeHTTPError, fact.StageDone)
		if *f.Status != 404 {
			b.Errorf("%d", *f.Status)
		}
	})
	b.run("IPv6", func(b *bench) {
		at, err := b.server.Serve("["+b.server.IP6.String()+"]:0", http.HandlerFunc(hello))
		b.must(err)
		f := b.get("http://" + at.String())
		b.expect(f, fact.OutcomeOK, fact.StageDone)
	})
	b.run("name by the resolve argument", func(b *bench) {
		at := b.secure(&tls.Config{}, hello)
		_, port, _ := net.SplitHostPort(at)
		f := b.fetch(Request{
			URL:     "https://server.test:" + port,
			Resolve: []string{"server.test:" + port + ":" + b.server.IP.String()},
		})
		b.expect(f, fact.OutcomeOK, fact.StageDone)
		if f.TLS.SNI != "server.test" || f.DNS.Outcome != "override" || !strings.Contains(f.Untrusted.Body, "server.test:"+port) {
			b.Errorf("%+v %+v %s", f.TLS, f.DNS, f.Untrusted.Body)
		}
	})
	b.run("connect_to", func(b *bench) {
		at := b.serve(hello)
		_, port, _ := net.SplitHostPort(at)
		f := b.fetch(Request{URL: "http://service.test/", ConnectTo: []string{"service.test:80:" + b.server.IP.String() + ":" + port}})
		b.expect(f, fact.OutcomeOK, fact.StageDone)
		if !strings.HasPrefix(f.Untrusted.Body, "hello GET service.test /") || f.Remote != at {
			b.Errorf("%s from %s", f.Untrusted.Body, f.Remote)
		}
	})
	b.run("own Host header, and a secret that is echoed", func(b *bench) {
		at := b.serve(func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "sid", Value: "topsecret"})
			_, _ = fmt.Fprintln(w, r.Host, r.Header.Get("Authorization"), r.Header.Get("Cookie"))
		})
		f := b.fetch(Request{URL: "http://" + at, Headers: map[string]string{
			"host": "virtual.test", "authorization": "Bearer sesame-open", "Cookie": "a=hunter22",
		}})
		b.expect(f, fact.OutcomeOK, fact.StageDone)
		if want := "virtual.test REDACTED a=REDACTED\n"; f.Untrusted.Body != want && f.Untrusted.Body != "virtual.test REDACTED REDACTED\n" {
			b.Errorf("body %q", f.Untrusted.Body)
		}
		if got := f.Untrusted.Headers["Set-Cookie"]; got != "sid=REDACTED" {
			b.Errorf("cookie %q", got)
		}
	})
	b.run("credentials in the URL", func(b *bench) {
		at := b.serve(func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			_, _ = fmt.Fprintln(w, user, password, r.Header.Get("Authorization"))
		})
		f := b.get("http://admin:hunter22@" + at)
		if f.Untrusted.Body != "admin REDACTED REDACTED\n" && f.Untrusted.Body != "admin REDACTED Basic REDACTED\n" {
			b.Errorf("body %q", f.Untrusted.Body)
		}
		if strings.Contains(f.URL, "hunter22") {
			b.Errorf("url %s", f.URL)
		}
	})
	b.run("gzip", func(b *bench) {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write([]byte(strings.Repeat("spam ", 100)))
		_ = z.Close()
		f := b.get("http://" + b.serve(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "" {
				b.Error("a coding was asked for")
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes())
		}))
		if f.BodyEncoding != "gzip" || f.Untrusted.Body != strings.Repeat("spam ", 100) || *f.BodyBytes != int64(packed.Len()) {
			b.Errorf("%s %q", f.BodyEncoding, f.Untrusted.Body)
		}
	})
	b.run("chunked", func(b *bench) {
		f := b.get("http://" + b.serve(func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				_, _ = io.WriteString(w, "part\n")
				w.(http.Flusher).Flush()
			}
		}))
		if f.Untrusted.Body != "part\npart\npart\n" || !*f.BodyComplete {
			b.Errorf("%q", f.Untrusted.Body)
		}
	})
	b.run("HTTP/1.0 without a length", func(b *bench) {
		f := b.get("http://" + b.says("HTTP/1.0 200 OK\r\n\r\nold"))
		if f.Protocol != "HTTP/1.0" || f.Untrusted.Body != "old" || !*f.BodyComplete {
			b.Errorf("%s %q", f.Protocol, f.Untrusted.Body)
		}
	})
	b.run("slow first byte", func(b *bench) {
		f := b.get("http://" + b.serve(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(300 * time.Millisecond):
			case <-r.Context().Done():
			}
		}))
		b.expect(f, fact.OutcomeOK, fact.StageDone)
		if ms := *f.Timings.FirstByteMS; ms < 290 || ms > soon.Seconds()*1000 {
			b.Errorf("first byte after %v ms", ms)
		}
	})
	b.run("stream of events", func(b *bench) {
		start := time.Now()
		f := b.get("http://" + b.serve(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: 1\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		if f.Outcome != fact.OutcomeOK || *f.BodyComplete || f.Untrusted.Body != "data: 1\n\n" || time.Since(start) > soon {
			b.Errorf("%+v after %s", f, time.Since(start))
		}
	})
}

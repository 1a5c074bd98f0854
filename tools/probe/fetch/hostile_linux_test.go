package fetch

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"nsenter-mcp/tools/fact"
)

// nasty has what must not reach a reader as it is: a terminal sequence, a
// direction mark, an invisible tag, bytes that are no UTF-8, NUL.
const nasty = "a\x1b[31mred\u202eevil\U000e0041\xff\xfe\x00\u200b\u2028z"

// clean reports whether every character of text is visible.
func clean(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool {
		return r != '\n' && r != '\t' && !unicode.IsGraphic(r) || r == '\u2028' || r == '\u200b'
	}) < 0
}

// checkClean walks an answer as the caller gets it.
func checkClean(b *bench, f *fact.Fetch, most int) {
	b.Helper()
	text, err := json.Marshal(f)
	b.must(err)
	if len(text) > most {
		b.Errorf("the answer has %d bytes", len(text))
	}
	var tree any
	b.must(json.Unmarshal(text, &tree))
	var walk func(path string, node any)
	walk = func(path string, node any) {
		switch v := node.(type) {
		case string:
			if !clean(v) {
				b.Errorf("%s: %q", path, v)
			}
			if strings.Contains(v, "evil") && !strings.Contains(path, "untrusted") {
				b.Errorf("%s: the other side's text stands outside untrusted: %q", path, v)
			}
		case map[string]any:
			for key, child := range v {
				walk(path+"/key", key)
				walk(path+"/"+key, child)
			}
		case []any:
			for _, child := range v {
				walk(path, child)
			}
		}
	}
	walk("", tree)
}

func TestHostileText(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.client.Lookup = hosts(nil)
	header := strings.NewReplacer("\x00", "", "\u2028", "").Replace(nasty)
	for name, answer := range map[string]string{
		"body":          "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + nasty,
		"long body":     "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat(nasty, 10000),
		"reason phrase": "HTTP/1.1 200 evil\x1b[2J\r\nContent-Length: 0\r\n\r\n",
		"header":        "HTTP/1.1 200 OK\r\nX-Evil: \u202eevil\xff\u200b\r\nContent-Length: 0\r\n\r\n",
		"many headers":  "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-evil-"+strings.Repeat("n", 50)+": "+strings.Repeat("v", 500)+"\r\n", 100) + "\r\n",
		"header bytes":  "HTTP/1.1 200 OK\r\nX-Evil: " + header + "\r\n\r\n",
		"content type":  "HTTP/1.1 200 OK\r\nContent-Type: evil/\u202e; charset=\xff\r\nContent-Encoding: evil\r\n\r\nx",
		"location":      "HTTP/1.1 302 Found\r\nLocation: http://evil\u202e.test/\xff?user=evil\r\n\r\n",
		"location 2":    "HTTP/1.1 302 Found\r\nLocation: http://user:secret@redirected.test/evil?evil\r\n\r\n",
		"cookie":        "HTTP/1.1 200 OK\r\nSet-Cookie: evil\u202e=secret; Path=/\r\n\r\n",
		"no HTTP":       nasty + nasty + nasty + "\r\n\r\n",
		"bad header":    "HTTP/1.1 200 OK\r\nevil\u202e\x1b[31m\r\n\r\n",
		"bad status":    "HTTP/1.1 evil\u202e OK\r\n\r\n",
		"bad length":    "HTTP/1.1 200 OK\r\nContent-Length: evil\u202e\r\n\r\n",
		"bad chunk":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nevil\u202e\r\n",
		"bad coding":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: evil\u202e\r\n\r\nx",
		"not gzip":      "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + nasty,
	} {
		b.run(name, func(b *bench) {
			at := b.says(answer)
			for _, details := range []bool{false, true} {
				f := b.fetch(Request{URL: "http://" + at, MaxRedirects: 2, Details: details})
				most := 4000
				if details {
					most = 16 << 10
				}
				checkClean(b, f, most)
				if text, _ := json.Marshal(f); strings.Contains(string(text), "secret") {
					b.Errorf("credentials in %s", text)
				}
			}
		})
	}
}

func TestHostileCertificate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	names := []string{b.server.IP.String()}
	for range 500 {
		names = append(names, "evil"+strings.Repeat("n", 50)+".test")
	}
	stranger := newAuthority(t)
	cert := stranger.issue(func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "evil\u202e\x1b[31m" + strings.Repeat("x", 1000), Organization: []string{"evil\u2028\x00"}}
	}, names...)
	at := b.secure(&tls.Config{Certificates: []tls.Certificate{cert}}, func(http.ResponseWriter, *http.Request) {})
	f := b.get("https://" + at)
	b.expect(f, fact.OutcomeTLSFailed, fact.StageTLS)
	checkClean(b, f, 4000)
	if got := f.TLS.Chain[0].Untrusted; got.NamesTotal != 501 || len(got.Names) != 6 {
		t.Errorf("%d names of %d", len(got.Names), got.NamesTotal)
	}
}

func TestHostileProxyAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.client.Environ = Environ{"https_proxy": "http://" + b.says("HTTP/1.1 403 evil\u202e\x1b[31m\r\n\r\n"), "no_proxy": "evil\u202e\xff"}
	f := b.fetch(Request{URL: "https://192.0.2.1", UseProxy: true})
	b.expect(f, fact.OutcomeHTTPError, fact.StageProxy)
	checkClean(b, f, 4000)
}

func TestGzipBomb(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	// Members one after another are one stream (RFC 1952, section 2.2), so that
	// only one of them has to be packed.
	var member bytes.Buffer
	z, err := gzip.NewWriterLevel(&member, gzip.BestCompression)
	b.must(err)
	_, err = z.Write(bytes.Repeat([]byte("0"), 1<<20))
	b.must(err)
	b.must(z.Close())
	bomb := bytes.Repeat(member.Bytes(), 100)
	f := b.get("http://" + b.serve(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb)
	}))
	b.expect(f, fact.OutcomeOK, fact.StageDone)
	if f.BodyEncoding != "gzip" || len(f.Untrusted.Body) > 1000 || !f.Untrusted.BodyTruncated {
		t.Errorf("%s, %d bytes", f.BodyEncoding, len(f.Untrusted.Body))
	}
}

package fetch

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"nsenter-mcp/tools/fact"
)

// frames serves HTTP/2 over TLS by hand: answer writes its frames when the request
// has come.
func (b *bench) frames(answer func(*http2.Framer)) string {
	b.Helper()
	config := &tls.Config{NextProtos: []string{"h2"}, Certificates: []tls.Certificate{b.ca.issue(nil, b.server.IP.String())}}
	return "https://" + b.raw(func(conn net.Conn) {
		secured := tls.Server(conn, config)
		_, _ = io.ReadFull(secured, make([]byte, len(http2.ClientPreface)))
		framer := http2.NewFramer(secured, secured)
		_ = framer.WriteSettings()
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			if _, ok := frame.(*http2.HeadersFrame); ok {
				break
			}
		}
		answer(framer)
		// To the end: what is closed with something unread is reset.
		_, _ = io.Copy(io.Discard, secured)
	})
}

// TestServerRefuses: GOAWAY and RST_STREAM are the server's word, and no broken
// rule.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rst := func(code http2.ErrCode) func(*http2.Framer) {
		return func(f *http2.Framer) { _ = f.WriteRSTStream(1, code) }
	}
	goAway := func(code http2.ErrCode) func(*http2.Framer) {
		return func(f *http2.Framer) { _ = f.WriteGoAway(0, code, []byte("evil\x1b[31m")) }
	}
	for _, c := range []struct {
		name   string
		answer func(*http2.Framer)
		code   string
		reason string
		debug  string
	}{
		{"refused stream", rst(http2.ErrCodeRefusedStream), fact.ReasonRetry, "RST_STREAM REFUSED_STREAM", ""},
		{"cancelled", rst(http2.ErrCodeCancel), fact.ReasonHTTP2Error, "RST_STREAM CANCEL", ""},
		{"internal error", rst(http2.ErrCodeInternal), fact.ReasonHTTP2Error, "RST_STREAM INTERNAL_ERROR", ""},
		{"no answer, and no error", rst(http2.ErrCodeNo), fact.ReasonHTTP2Error, "RST_STREAM NO_ERROR", ""},
		{"HTTP/1.1 for a stream", rst(http2.ErrCodeHTTP11Required), fact.ReasonHTTP11Required, "RST_STREAM HTTP_1_1_REQUIRED", ""},
		{"HTTP/1.1", goAway(http2.ErrCodeHTTP11Required), fact.ReasonHTTP11Required, "GOAWAY HTTP_1_1_REQUIRED", `evil\x1b[31m`},
		{"shutdown", goAway(http2.ErrCodeNo), fact.ReasonRetry, "GOAWAY NO_ERROR", `evil\x1b[31m`},
		{"load", goAway(http2.ErrCodeEnhanceYourCalm), fact.ReasonHTTP2Error, "GOAWAY ENHANCE_YOUR_CALM", `evil\x1b[31m`},
		{"protocol error", goAway(http2.ErrCodeProtocol), fact.ReasonHTTP2Error, "GOAWAY PROTOCOL_ERROR", `evil\x1b[31m`},
	} {
		b.run(c.name, func(b *bench) {
			start := time.Now()
			f := b.get(b.frames(c.answer))
			b.expect(f, fact.OutcomeHTTPError, fact.StageResponse)
			if f.ReasonCode != c.code || !strings.Contains(f.Reason, c.reason) || f.Status != nil {
				b.Errorf("%s: %s", f.ReasonCode, f.Reason)
			}
			if debug := f.Untrusted; debug == nil != (c.debug == "") || debug != nil && debug.Error != c.debug {
				b.Errorf("%+v", debug)
			}
			if took := time.Since(start); took > soon {
				b.Errorf("it took %s", took)
			}
		})
	}
}

// TestAnswerThatBegan: where something came, it is not said that nothing did.
func TestAnswerThatBegan(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tests := map[string]func(b *bench){}
	wait := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	for _, c := range []struct {
		name   string
		url    string
		stage  fact.Stage
		reason string
	}{
		{"settings", b.frames(func(*http2.Framer) {}), fact.StageResponse, "the server began to speak HTTP/2 (SETTINGS), and did not answer the request in time"},
		{"half a header", "http://" + b.raw(func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Half")
			wait(conn)
		}), fact.StageResponse, "the header of the answer did not end in time; 23 bytes came"},
		{"half a ServerHello", "https://" + b.raw(func(conn net.Conn) {
			_, _ = conn.Write([]byte{0x16, 3, 3, 0, 0x7a, 2, 0, 0, 0x76, 3, 3})
			wait(conn)
		}), fact.StageTLS, "the server began the TLS handshake (11 bytes) and did not end it in time"},
		{"a warning", "https://" + b.raw(func(conn net.Conn) {
			_, _ = conn.Write([]byte{0x15, 3, 3, 0, 2, 1, 112}) // alert: unrecognized_name
			wait(conn)
		}), fact.StageTLS, "the server began the TLS handshake (7 bytes) and did not end it in time"},
	} {
		tests[c.name] = func(b *bench) {
			f := b.fetchWithin(Request{URL: c.url}, hang)
			b.expect(f, fact.OutcomeTimeout, c.stage)
			if f.Reason != c.reason || f.Conn == nil {
				b.Errorf("%s, %+v", f.Reason, f.Conn)
			}
		}
	}
	b.together(tests)
}

// TestBodyThatIsWrong: what the server wrote is told from what was cut.
func TestBodyThatIsWrong(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	headers := []byte{0x88} // :status 200 (RFC 7541, appendix A)
	for _, c := range []struct {
		name, url, code, reason string
	}{
		{"length of a chunk", "http://" + b.says(chunked+"4\r\nhalf\r\nxyz\r\n"), fact.ReasonBodyMalformed, "bad chunks"},
		{"end of a chunk", "http://" + b.says(chunked+"4\r\nhalf, and more\r\n0\r\n\r\n"), fact.ReasonBodyMalformed, "bad chunks"},
		{"a cut chunk", "http://" + b.says(chunked+"64\r\nhalf"), fact.ReasonBodyBrokeOff, "broke off after 4 bytes"},
		{"no last chunk", "http://" + b.says(chunked+"4\r\nhalf\r\n"), fact.ReasonBodyBrokeOff, "broke off after 4 bytes"},
		{"longer than its length", b.frames(func(f *http2.Framer) {
			// content-length: 2, as a literal without indexing
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: append(headers, 0x0f, 0x0d, 1, '2'), EndHeaders: true})
			_ = f.WriteData(1, true, []byte("half"))
		}), fact.ReasonBodyMalformed, "more than its Content-Length"},
		{"given up by the server", b.frames(func(f *http2.Framer) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers, EndHeaders: true})
			_ = f.WriteData(1, false, []byte("half"))
			_ = f.WriteRSTStream(1, http2.ErrCodeInternal)
		}), fact.ReasonBodyBrokeOff, "RST_STREAM INTERNAL_ERROR"},
	} {
		b.run(c.name, func(b *bench) {
			f := b.get(c.url)
			b.expect(f, fact.OutcomeOK, fact.StageBody)
			if f.ReasonCode != c.code || !strings.Contains(f.Reason, c.reason) || *f.Status != 200 {
				b.Errorf("%s: %s", f.ReasonCode, f.Reason)
			}
		})
	}
}

// TestOtherProtocols: a server of another protocol speaks first, or closes.
func TestOtherProtocols(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	greets := func(text string) string {
		return "http://" + b.raw(func(conn net.Conn) {
			_, _ = io.WriteString(conn, text)
			readRequest(conn)
		})
	}
	for name, c := range map[string]struct{ url, code string }{
		"SMTP":           {greets("220 mail.test ESMTP\r\n"), fact.ReasonNotHTTP},
		"MySQL":          {greets("J\x00\x00\x00\x0a8.0.36\x00"), fact.ReasonNotHTTP},
		"SSH":            {greets("SSH-2.0-OpenSSH_9.6\r\n"), fact.ReasonNotHTTP},
		"Redis":          {"http://" + b.says("-ERR unknown command\r\n"), fact.ReasonNotHTTP},
		"PostgreSQL":     {"http://" + b.says(""), fact.ReasonClosed},
		"closes at once": {"http://" + b.raw(func(net.Conn) {}), fact.ReasonClosed},
	} {
		b.run(name, func(b *bench) {
			f := b.get(c.url)
			if f.Outcome == fact.OutcomeReset && c.code == fact.ReasonClosed {
				return // closed with the request unread
			}
			if f.Outcome != fact.OutcomeNotHTTP || f.ReasonCode != c.code {
				b.Errorf("%s %s: %s", f.Outcome, f.ReasonCode, f.Reason)
			}
		})
	}
}

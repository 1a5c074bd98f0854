package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"nsenter-mcp/tools/fact"
)

// maxHeader bounds the header of an answer, with what 1xx answers precede it.
const maxHeader = 64 << 10

// readAhead is how much of an answer package net/http reads at a time; it stops
// up to that many bytes before the bound.
const readAhead = 4 << 10

// exchange sends the request on the stream and reads the answer. It returns
// where the answer leads, nil for nowhere.
func (s *step) exchange(ctx context.Context) *location {
	if s.Version == HTTP2 && !s.speaksHTTP2() {
		s.notHTTP(fact.StageTLS, fact.ReasonNoHTTP2, "the server does not speak HTTP/2: the server did not agree on h2 (ALPN)")
		return nil
	}
	heard := s.listen()
	times := &times{}
	request, err := s.request(httptrace.WithClientTrace(ctx, times.trace()))
	if err != nil {
		s.notHTTP(fact.StageRequest, fact.ReasonMalformed, "the request cannot be written as HTTP")
		return nil
	}
	transport := s.transport()
	defer transport.CloseIdleConnections()
	begun := time.Now()
	response, err := transport.RoundTrip(request)
	wrote, firstByte := times.read()
	if !firstByte.IsZero() {
		ms := milliseconds(firstByte.Sub(begun))
		s.answer.Timings.FirstByteMS = &ms
	}
	if err != nil {
		s.noResponse(ctx, err, heard, wrote)
		return nil
	}
	heard.hush()
	defer func() { _ = response.Body.Close() }() // read as far as wanted
	s.take(response)
	to := redirectOf(s.url, response, s.secrets)
	if to != nil && s.MaxRedirects > 0 {
		s.answer.Stage = fact.StageDone
		return to // its body is not read
	}
	s.receive(ctx, response, heard)
	return to
}

// listen returns the recorder that hears the answer as HTTP. What it heard before
// belongs to the proxy.
func (s *step) listen() *recorder {
	heard := &recorder{Conn: s.stream, below: s.conn, asked: make(chan struct{})}
	s.stream = heard
	s.conn.hush() // heard is what listens
	return heard
}

// transport speaks on the stream and on nothing else: it never dials.
func (s *step) transport() *http.Transport {
	var once sync.Once
	give := func(context.Context, string, string) (net.Conn, error) {
		var conn net.Conn
		once.Do(func() { conn = s.stream })
		if conn == nil {
			return nil, errOneConnection
		}
		return conn, nil
	}
	t := &http.Transport{
		DialContext: give, DialTLSContext: give,
		DisableKeepAlives: true, DisableCompression: true, ForceAttemptHTTP2: true,
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              &http.Protocols{},
	}
	// Of TLS, where there is one, the transport sees nothing.
	t.Protocols.SetHTTP1(!s.speaksHTTP2())
	t.Protocols.SetUnencryptedHTTP2(s.speaksHTTP2())
	if s.via != nil && s.via.Scheme == "http" && s.url.Scheme == "http" {
		t.Proxy = http.ProxyURL(s.via)
	}
	return t
}

// errOneConnection: a request is never repeated on another connection.
var errOneConnection = errors.New("the connection is used up")

func (s *step) request(ctx context.Context) (*http.Request, error) {
	target := *s.url
	user := target.User
	target.User = nil
	if h, err := parseHost(target.Hostname()); err == nil {
		target.Host = hostPort(h, &target)
	}
	var body io.Reader
	if s.body != "" {
		body = strings.NewReader(s.body)
	}
	request, err := http.NewRequestWithContext(ctx, s.method, target.String(), body)
	if err != nil {
		return nil, err
	}
	request.Header = s.header.Clone()
	if auth := basicAuth(user); auth != "" && request.Header.Get("Authorization") == "" {
		request.Header.Set("Authorization", auth)
	}
	if s.hostname != "" {
		request.Host = s.hostname
	}
	return request, nil
}

// hostPort is host and port as they go into a Host header: the host in its plain
// form, the port where it is not the scheme's own.
func hostPort(h host, u *url.URL) string {
	text := h.String()
	if h.addr.Is6() {
		text = "[" + h.addr.WithZone("").String() + "]" // RFC 6874: a zone is of this machine only
	}
	if port := portOf(u); port != portOf(&url.URL{Scheme: u.Scheme}) {
		text += ":" + strconv.Itoa(int(port))
	}
	return text
}

// take writes status and header down.
func (s *step) take(response *http.Response) {
	status := response.StatusCode
	s.answer.Status, s.answer.Protocol = &status, response.Proto
	s.answer.Outcome = fact.OutcomeOK
	if status >= 400 {
		s.answer.Outcome = fact.OutcomeHTTPError
	}
	text := s.text()
	if _, phrase, ok := strings.Cut(response.Status, " "); ok && phrase != http.StatusText(status) {
		text.Reason = line(phrase, 100)
	}
	showHeader(text, response.Header, s.secrets, headerBounds(s.Details))
}

// receive reads the body.
func (s *step) receive(ctx context.Context, response *http.Response, heard *recorder) {
	begun := time.Now()
	b := readBody(ctx, response, s.MaxBody)
	s.answer.Timings.BodyMS = since(begun)
	s.answer.BodyBytes, s.answer.BodyComplete = &b.received, &b.complete
	b.show(&s.answer, response.Header, s.secrets, s.MaxBody)
	s.answer.Stage = fact.StageDone
	var stream http2.StreamError
	switch {
	case b.complete || b.err == nil:
	case isReset(b.err):
		s.fail(fact.StageBody, fact.OutcomeReset, fmt.Sprintf("the connection was reset after %d bytes of the body", b.received))
	case b.stopped(time.Now()):
		s.answer.Outcome = fact.OutcomeTimeout
		s.say(fact.StageBody, fact.ReasonBodyStopped, fmt.Sprintf("the body stopped after %d bytes", b.received))
	case errors.Is(b.err, errPatience):
		s.say(fact.StageBody, fact.ReasonBodyStillComing, "the body was still coming when reading it was given up")
	case errors.As(b.err, &stream):
		s.say(fact.StageBody, fact.ReasonBodyBrokeOff, fmt.Sprintf("the server broke the body off after %d bytes with RST_STREAM %s", b.received, stream.Code))
	case errors.Is(b.err, io.ErrUnexpectedEOF) || heard.ended() != nil:
		s.say(fact.StageBody, fact.ReasonBodyBrokeOff, fmt.Sprintf("the body broke off after %d bytes", b.received))
	default: // the connection stands, so what came on it is wrong
		s.say(fact.StageBody, fact.ReasonBodyMalformed, fmt.Sprintf("the body breaks the rules of HTTP after %d bytes: "+
			"the server wrote bad chunks, or more than its Content-Length (untrusted.error)", b.received))
		s.text().Error = line(s.secrets.hide(b.err.Error()), 200)
	}
}

// noResponse finds out why no answer came.
func (s *step) noResponse(ctx context.Context, err error, heard *recorder, wrote bool) {
	first, received := heard.beginning()
	s.began = received > 0
	stage := fact.StageResponse
	if !wrote && !s.began {
		stage = fact.StageRequest
	}
	alert, alerted := alertOf(heard.ended())
	reset := isReset(err) || isReset(heard.ended())
	isHTTP := strings.HasPrefix(string(first), "HTTP/") && !s.speaksHTTP2()
	var word refusal
	var settings, refused bool
	if s.speaksHTTP2() {
		word, settings, refused = refusalIn(first)
	}
	switch {
	case alerted:
		s.refuse(alert)
	case ctx.Err() != nil || isTimeout(err):
		reason := "no byte of an answer came in time"
		switch {
		case settings:
			reason = "the server began to speak HTTP/2 (SETTINGS), and did not answer the request in time"
		case s.began:
			reason = fmt.Sprintf("the header of the answer did not end in time; %d bytes came", received)
		}
		s.fail(stage, fact.OutcomeTimeout, reason)
	case refused:
		s.refused(stage, word)
	case reset && !s.began:
		s.fail(stage, fact.OutcomeReset, "the connection was reset before an answer")
	case reset && (s.tls != nil || isHTTP):
		s.fail(stage, fact.OutcomeReset, fmt.Sprintf("the connection was reset after %d bytes of an answer", received))
	case (isHTTP || settings) && errors.Is(err, io.ErrUnexpectedEOF):
		s.notHTTP(stage, fact.ReasonCut, fmt.Sprintf("the server closed the connection after %d bytes of an answer", received))
	case received > maxHeader-readAhead:
		s.notHTTP(stage, fact.ReasonHeaderTooLong, fmt.Sprintf("the header of the answer is longer than %d bytes", maxHeader))
	case !s.began:
		s.notHTTP(stage, fact.ReasonClosed, "the server closed the connection without a byte of an answer: perhaps no HTTP server, or one that failed")
	default:
		code, reason := notHTTP(first, settings, s.spoken())
		s.notHTTP(stage, code, reason)
		s.text().FirstBytes, _ = printable([]byte(s.secrets.hide(string(first[:min(len(first), maxFirstBytes)]))), 4*maxFirstBytes, false)
		s.text().Error = line(s.secrets.hide(err.Error()), 200)
	}
}

// refuse: with TLS 1.3 a server refuses after the handshake has ended for the
// client, above all for want of a certificate.
func (s *step) refuse(alert uint8) {
	h := handshake{name: s.serverName()}
	h.fact.ClientCertRequested = s.answer.TLS.ClientCertRequested
	s.answer.TLS.Error = h.alert(alert)
	s.fail(fact.StageTLS, fact.OutcomeTLSFailed, s.answer.TLS.Error.Message)
}

// spoken is the version of HTTP/2 that is spoken, "" for HTTP/1.
func (s *step) spoken() string {
	switch {
	case !s.speaksHTTP2():
		return ""
	case s.tls == nil:
		return "h2c"
	}
	return "HTTP/2 as it agreed to"
}

// notHTTP says what an answer is that is not HTTP of the version that was spoken.
func notHTTP(first []byte, settings bool, spoken string) (code, reason string) {
	const (
		alertRecord     = 0x15
		handshakeRecord = 0x16
		settingsFrame   = 0x04
	)
	text := string(first)
	switch {
	case len(first) > 2 && (first[0] == alertRecord || first[0] == handshakeRecord) && first[1] == 3:
		return fact.ReasonTLSPort, "the port speaks TLS: use https://"
	case spoken != "" && strings.HasPrefix(text, "HTTP/1."):
		return fact.ReasonNoHTTP2, "the server speaks " + line(text[:min(len(text), len("HTTP/1.1"))], 20) + ", not " + spoken + statusOf(first)
	case strings.HasPrefix(text, "HTTP/"):
		return fact.ReasonMalformed, "the answer begins as HTTP and then breaks the rules of HTTP (untrusted.error)"
	case settings:
		return fact.ReasonMalformed, "the server speaks HTTP/2 and breaks the rules of HTTP/2 (untrusted.error)"
	case len(first) > 8 && first[0] == 0 && first[1] == 0 && first[3] == settingsFrame:
		return fact.ReasonMalformed, "the answer is HTTP/2, which was not asked for (untrusted.error)"
	case strings.HasPrefix(text, "SSH-"):
		return fact.ReasonNotHTTP, "the port speaks SSH"
	}
	return fact.ReasonNotHTTP, "the server's answer is not HTTP (untrusted.first_bytes)"
}

// statusOf words the status of an answer of HTTP/1, "" where it begins otherwise.
func statusOf(first []byte) string {
	_, rest, _ := strings.Cut(string(first), " ")
	code, _, _ := strings.Cut(rest, " ")
	code, _, _ = strings.Cut(code, "\r")
	if status, err := strconv.ParseUint(code, 10, 16); err == nil && status >= 100 && status <= 999 {
		return fmt.Sprintf(": it answered with status %d", status)
	}
	return ""
}

// smallSegment fits through every path (RFC 879).
const smallSegment = 536

// silence words what the kernel knows of a connection that fell silent; "" where
// that is nothing. began says that some of the answer had come.
func silence(c *fact.ConnState, stage fact.Stage, began bool) string {
	if c == nil {
		return ""
	}
	switch {
	case c.OutOfOrder > 0:
		return fmt.Sprintf("segments after a gap arrived, earlier ones did not: packets are lost on the way back, "+
			"the large ones if the path carries less than %d bytes", c.PMTU)
	case c.NotSent > 0 && c.SendWindow == 0:
		return "the receive window of the server is closed: the server's application does not read"
	case c.CannotSend() && min(c.NotSent, c.MSS) > smallSegment:
		// A veth drops in its sender's call what is longer than the other end's MTU.
		return fmt.Sprintf("the target's kernel cannot send segments of %d bytes: "+
			"the interface's other end has a smaller MTU, or a firewall or traffic control drops them", min(c.NotSent, c.MSS))
	case c.CannotSend():
		return "the target's own kernel cannot send on the established connection: the target's firewall or traffic control drops them"
	case c.Unacked > 0 && c.Retransmits > 0:
		return fmt.Sprintf("the request was repeated (%d segments) and never confirmed: packets of the established connection are lost on the way there", c.Retransmits)
	case c.Unacked == 0 && !began && (stage == fact.StageResponse || stage == fact.StageTLS):
		return "the server's kernel confirmed the request, and no byte came back: the application is silent, or the answer is lost on the way"
	}
	return ""
}

// times are the moments of a request; the transport reports them from its own
// goroutines.
type times struct {
	mu        sync.Mutex
	wrote     bool
	firstByte time.Time
}

func (t *times) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.wrote = info.Err == nil
		},
		GotFirstResponseByte: func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.firstByte = time.Now()
		},
	}
}

func (t *times) read() (wrote bool, firstByte time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wrote, t.firstByte
}

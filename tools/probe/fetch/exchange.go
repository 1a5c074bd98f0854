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
		s.notHTTP(fact.StageTLS, fact.ReasonNoHTTP2, "the server does not speak HTTP/2: it did not agree on h2 (ALPN)")
		return nil
	}
	heard := s.listen()
	// What was read so far belongs to the handshake.
	heard.begin()
	times := &times{}
	request, err := s.request(httptrace.WithClientTrace(ctx, times.trace()))
	if err != nil {
		s.notHTTP(fact.StageRequest, fact.ReasonNotHTTP, "the request cannot be written as HTTP")
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
	s.conn.hush()
	defer func() { _ = response.Body.Close() }() // read as far as wanted
	s.take(response)
	to := redirectOf(s.url, response, s.secrets)
	if to != nil && s.MaxRedirects > 0 {
		s.answer.Stage = fact.StageDone
		return to // its body is not read
	}
	s.receive(ctx, response)
	return to
}

// listen returns the recorder that hears the answer as HTTP. On HTTP/2 there is
// none but that of the connection: the transport wants to see the TLS
// connection itself.
func (s *step) listen() *recorder {
	if s.stream == net.Conn(s.conn) || s.speaksHTTP2() {
		return s.conn
	}
	heard := &recorder{Conn: s.stream}
	s.stream = heard
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
	switch {
	case s.Version == H2C:
		t.Protocols.SetUnencryptedHTTP2(true)
	case s.speaksHTTP2():
		t.Protocols.SetHTTP2(true)
	default:
		t.Protocols.SetHTTP1(true)
	}
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

// hostPort is host and port as they stand in a URL: the host in its plain
// form, the port where it is written.
func hostPort(h host, u *url.URL) string {
	text := h.String()
	if h.addr.Is6() {
		text = "[" + h.addr.WithZone("").String() + "]" // RFC 6874: a zone is of this machine only
	}
	if port := u.Port(); port != "" {
		text += ":" + port
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
func (s *step) receive(ctx context.Context, response *http.Response) {
	begun := time.Now()
	b := readBody(ctx, response, s.MaxBody)
	s.answer.Timings.BodyMS = since(begun)
	s.answer.BodyBytes, s.answer.BodyComplete = &b.received, &b.complete
	b.show(&s.answer, response.Header, s.secrets, s.MaxBody)
	s.answer.Stage = fact.StageDone
	switch {
	case b.complete || b.err == nil:
	case isReset(b.err):
		s.fail(fact.StageBody, fact.OutcomeReset, fmt.Sprintf("the connection was reset after %d bytes of the body", b.received))
	case b.stopped(time.Now()):
		s.answer.Outcome = fact.OutcomeTimeout
		s.say(fact.StageBody, fact.ReasonBodyStopped, fmt.Sprintf("the body stopped after %d bytes", b.received))
	case errors.Is(b.err, errPatience):
		s.say(fact.StageBody, fact.ReasonBodyStillComing, "the body was still coming when reading it was given up")
	default:
		s.say(fact.StageBody, fact.ReasonBodyBrokeOff, fmt.Sprintf("the body broke off after %d bytes", b.received))
	}
}

// noResponse finds out why no answer came.
func (s *step) noResponse(ctx context.Context, err error, heard *recorder, wrote bool) {
	first, received := heard.beginning()
	stage := fact.StageResponse
	if !wrote && received == 0 {
		stage = fact.StageRequest
	}
	alert, alerted := s.lateAlert()
	reset := isReset(err) || heard.wasReset()
	isHTTP := strings.HasPrefix(string(first), "HTTP/") && s.Version != H2C
	switch {
	case alerted:
		s.refuse(alert)
	case ctx.Err() != nil || isTimeout(err):
		reason := "no byte of an answer came in time"
		if received > 0 {
			reason = fmt.Sprintf("the header of the answer did not end in time; %d bytes came", received)
		}
		s.fail(stage, fact.OutcomeTimeout, reason)
	case reset && received == 0:
		s.fail(stage, fact.OutcomeReset, "the connection was reset before an answer")
	case reset && (s.tls != nil || isHTTP):
		s.fail(stage, fact.OutcomeReset, fmt.Sprintf("the connection was reset after %d bytes of an answer", received))
	case isHTTP && errors.Is(err, io.ErrUnexpectedEOF):
		s.notHTTP(stage, fact.ReasonClosed, fmt.Sprintf("the other side closed the connection after %d bytes of an answer", received))
	case received > maxHeader-readAhead:
		s.notHTTP(stage, fact.ReasonHeaderTooLong, fmt.Sprintf("the header of the answer is longer than %d bytes", maxHeader))
	case received == 0:
		s.notHTTP(stage, fact.ReasonClosed, "the other side closed the connection without an answer")
	case s.tls != nil && s.speaksHTTP2():
		// What was heard is encrypted.
		s.notHTTP(stage, fact.ReasonMalformed, "the HTTP/2 answer breaks its rules (untrusted.error)")
		s.text().Error = line(s.secrets.hide(err.Error()), 200)
	default:
		code, reason := notHTTP(first, s.Version)
		s.notHTTP(stage, code, reason)
		s.text().FirstBytes, _ = printable([]byte(s.secrets.hide(string(first))), 4*maxFirstBytes, false)
		s.text().Error = line(s.secrets.hide(err.Error()), 200)
	}
}

// lateAlert returns the alert that ended the TLS connection after its
// handshake. HTTP/2 reports such an end as one of its own, but the connection
// keeps the error of its last read.
func (s *step) lateAlert() (number uint8, ok bool) {
	if s.tls == nil {
		return 0, false
	}
	// Nothing is waited for: either the error is there already, or this is it.
	if err := s.tls.SetReadDeadline(time.Unix(1, 0)); err != nil && !errors.Is(err, net.ErrClosed) {
		return 0, false
	}
	_, err := s.tls.Read(make([]byte, 1))
	return alertOf(err)
}

// refuse: with TLS 1.3 a server refuses after the handshake has ended for the
// client, above all for want of a certificate.
func (s *step) refuse(alert uint8) {
	h := handshake{name: s.serverName()}
	h.fact.ClientCertRequested = s.answer.TLS.ClientCertRequested
	s.answer.TLS.Error = h.alert(alert)
	s.fail(fact.StageTLS, fact.OutcomeTLSFailed, s.answer.TLS.Error.Message)
}

// notHTTP says what an answer is that is no HTTP of the version that was spoken.
func notHTTP(first []byte, spoken Version) (code, reason string) {
	const (
		alertRecord     = 0x15
		handshakeRecord = 0x16
		settingsFrame   = 0x04
	)
	switch {
	case len(first) > 2 && (first[0] == alertRecord || first[0] == handshakeRecord) && first[1] == 3:
		return fact.ReasonTLSPort, "the port speaks TLS: use https://"
	case spoken == H2C && strings.HasPrefix(string(first), "HTTP/1."):
		version := "HTTP/1.1"
		if strings.HasPrefix(string(first), "HTTP/1.0") {
			version = "HTTP/1.0"
		}
		return fact.ReasonNoHTTP2, "the server speaks " + version + ", not h2c" + statusOf(first)
	case strings.HasPrefix(string(first), "HTTP/"):
		return fact.ReasonMalformed, "the answer begins as HTTP and then breaks its rules (untrusted.error)"
	case len(first) > 8 && first[0] == 0 && first[1] == 0 && first[3] == settingsFrame:
		return fact.ReasonMalformed, "the answer is HTTP/2, which was not asked for or breaks its rules (untrusted.error)"
	case strings.HasPrefix(string(first), "SSH-"):
		return fact.ReasonNotHTTP, "the port speaks SSH"
	}
	return fact.ReasonNotHTTP, "the answer is no HTTP (untrusted.first_bytes)"
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

// silence words what the kernel knows of a connection on which nothing came;
// "" where that is nothing.
func silence(c *fact.ConnState, stage fact.Stage) string {
	if c == nil {
		return ""
	}
	switch {
	case c.OutOfOrder > 0:
		return fmt.Sprintf("segments after a gap arrived, those before did not: packets are lost on the way back, "+
			"the large ones if the path carries less than %d bytes", c.PMTU)
	case c.NotSent > 0 && c.SendWindow == 0:
		return "the other side has closed its receive window: its application does not read"
	case c.CannotSend() && min(c.NotSent, c.MSS) > smallSegment:
		// A veth drops in its sender's call what is longer than the other end's MTU.
		return fmt.Sprintf("the target's own kernel cannot send segments of %d bytes on the established connection: "+
			"the other end of its interface has a smaller MTU, or its own firewall or traffic control drops what is sent", min(c.NotSent, c.MSS))
	case c.CannotSend():
		return "the target's own kernel cannot send on the established connection: its firewall or traffic control drops what is sent"
	case c.Unacked > 0 && c.Retransmits > 0:
		return fmt.Sprintf("what was sent was repeated (%d segments) and never confirmed: packets of the established connection are lost on the way there", c.Retransmits)
	case c.Unacked == 0 && (stage == fact.StageResponse || stage == fact.StageTLS):
		return "the other side's kernel confirmed what was sent, and no byte came back: its application is silent, or its answer is lost on the way"
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

package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/attempt"
)

// step is one request on its way: what is known so far, and the connection.
type step struct {
	*call
	hop
	answer fact.Fetch
	via    *url.URL  // proxy, nil for none
	conn   *recorder // the TCP connection
	stream net.Conn  // what HTTP is spoken on: conn, or TLS over it
	tls    *tls.Conn // nil without TLS
	began  bool      // a part of what was waited for had come
}

// once carries out one request. location is where the answer leads, nil for
// nowhere. An error says that nothing could be measured, or that the
// destination is refused.
func (c *call) once(ctx context.Context, at hop) (*fact.Fetch, *location, error) {
	s := &step{call: c, hop: at, answer: fact.Fetch{
		Method: at.method, URL: at.public(), Attempts: []fact.Attempt{}, Redirects: []fact.Redirect{},
	}}
	defer s.close()
	for _, take := range []func(context.Context) (bool, error){s.connect, s.throughProxy, s.secure} {
		goOn, err := take(ctx)
		if err != nil {
			return nil, nil, err
		}
		if !goOn {
			s.addState()
			return &s.answer, nil, nil
		}
	}
	to := s.exchange(ctx)
	if err := s.canceled(); err != nil {
		return nil, nil, err
	}
	s.addState()
	return &s.answer, to, nil
}

// canceled returns an error where the caller went away: nobody waits for an answer.
// A deadline that has passed is no such error: what was measured until then is told.
func (c *call) canceled() error {
	if err := c.finish.Err(); errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (s *step) close() {
	if s.conn != nil {
		_ = s.conn.Close() // the answer was read, or there is none
	}
}

// fail sets how and where the request ended.
func (s *step) fail(stage fact.Stage, outcome fact.Outcome, reason string) {
	s.answer.Stage, s.answer.Outcome, s.answer.Reason = stage, outcome, reason
}

// say adds a reason to an outcome that is set.
func (s *step) say(stage fact.Stage, code, reason string) {
	s.answer.Stage, s.answer.ReasonCode, s.answer.Reason = stage, code, reason
}

// notHTTP ends the request with an answer that is not HTTP.
func (s *step) notHTTP(stage fact.Stage, code, reason string) {
	s.answer.Outcome = fact.OutcomeNotHTTP
	s.say(stage, code, reason)
}

// addState adds what the kernel knows of the connection that was established.
func (s *step) addState() {
	if s.conn == nil {
		return
	}
	s.answer.Conn = s.conn.kernelState()
	if s.answer.Outcome == fact.OutcomeTimeout {
		if why := silence(s.answer.Conn, s.answer.Stage, s.began); why != "" {
			s.answer.Reason = why
		}
	}
}

// connect finds the addresses and connects to the first that answers.
func (s *step) connect(ctx context.Context) (bool, error) {
	target, port, err := s.destination()
	if err != nil {
		return false, err
	}
	to, ok, err := s.resolve(ctx, target, port)
	if err != nil || !ok {
		return false, err
	}
	begun := time.Now()
	deadline := connectDeadline(ctx, begun)
	if soon := begun.Add(fewSYNs); s.Repeated && soon.Before(deadline) {
		deadline = soon
	}
	conn, attempts, err := s.race(s.finish, to, deadline)
	s.answer.Attempts = attempts
	s.answer.AddressesSkipped = len(to) - len(attempts)
	if errors.Is(err, attempt.ErrZone) && s.redirected {
		return false, &DeniedError{Host: target.String(), Err: attempt.ErrZone}
	}
	if errors.Is(err, attempt.ErrZone) {
		return false, badArgument("url", "%v", attempt.ErrZone)
	}
	if err != nil {
		return false, err
	}
	if suspect, ok := ecnSuspect(attempts); ok {
		s.answer.ECN = attempt.CompareECN(ctx, s.Target, suspect)
	}
	if conn == nil {
		return false, s.notConnected(target)
	}
	for i := range attempts {
		// Not asked of conn, which may have been reset by now and then knows no more.
		if a := &attempts[i]; a.Outcome == fact.OutcomeOK {
			ms := a.StartedMS + a.MS
			s.answer.Timings.ConnectMS = &ms
			s.answer.Remote, s.answer.Local = a.Address, a.Local
		}
	}
	s.conn = &recorder{Conn: conn}
	s.stream = s.conn
	return true, nil
}

// notConnected says what the first attempt came to; the rules of diagnose judge them
// all.
func (s *step) notConnected(target host) error {
	if err := s.canceled(); err != nil {
		return err
	}
	refused := ""
	for i := range s.answer.Attempts {
		switch a := &s.answer.Attempts[i]; a.Outcome {
		case fact.OutcomeAbandoned:
		case fact.OutcomeDenied:
			refused = a.Why
		default:
			s.fail(fact.StageConnect, a.Outcome, a.Errno)
			return nil
		}
	}
	if refused != "" {
		return &DeniedError{Host: target.String(), Err: errors.New(refused)}
	}
	s.fail(fact.StageConnect, fact.OutcomeTimeout, "the time was up before anything could be told")
	return nil
}

// connectDeadline leaves half of the time to what comes after connecting, but
// stays long enough for three SYNs where it can be.
func connectDeadline(ctx context.Context, now time.Time) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return now.Add(fewSYNs)
	}
	left := deadline.Sub(now)
	return now.Add(min(left, max(left/2, fewSYNs)))
}

// fewSYNs is the time in which SYNs are sent at 0, 1 and 3 s (RFC 6298; newer
// kernels send one each second).
const fewSYNs = 3500 * time.Millisecond

// proxyLookup bounds how long a name that the proxy will look up is looked up
// here as well.
const proxyLookup = 5 * time.Second

// checkBehindProxy asks whether the proxy may be sent to the URL's host. The
// proxy connects by itself, where no hook of ours sees it, so only that is sent
// which can be judged here: a literal address, or a name that the target can look
// up. A Host header is another destination to a proxy (RFC 9112, section 3.2.2,
// which not all obey), so it has to be the URL's.
func (s *step) checkBehindProxy(ctx context.Context) error {
	if s.Allow == nil {
		return nil
	}
	target, err := parseHost(s.url.Hostname())
	if err != nil {
		return err // cannot be: the URL was checked
	}
	if s.hostname != "" && s.via.Scheme == "http" && s.url.Scheme == "http" { // else the proxy does not see it
		named, err := url.Parse(s.url.Scheme + "://" + s.hostname)
		if err != nil || !sameOrigin(named, s.url) {
			return &DeniedError{Host: target.String(), Err: errForeignHost}
		}
	}
	addrs := []netip.Addr{target.addr}
	if !target.addr.IsValid() {
		ctx, cancel := context.WithTimeout(ctx, proxyLookup)
		defer cancel()
		if addrs, _, err = s.lookup(ctx, target.lookupName()); err != nil || len(addrs) == 0 {
			return &DeniedError{Host: target.String(), Err: errUnknownBehindProxy}
		}
	}
	for _, a := range addrs {
		if err := s.Allow(netip.AddrPortFrom(a, portOf(s.url))); err != nil {
			return &DeniedError{Host: target.String(), Err: err}
		}
	}
	return nil
}

// What is not sent to a proxy, because nobody could judge where the proxy goes.
var (
	errForeignHost        = errors.New("the Host header is another one than the URL's, and a proxy may connect to either; leave the header out, or the proxy")
	errUnknownBehindProxy = errors.New("the name cannot be looked up here, so the policy cannot judge the address behind the proxy; use a literal address, or no proxy")
)

// throughProxy makes the connection lead through the proxy, where there is one
// that is asked to connect further.
func (s *step) throughProxy(ctx context.Context) (bool, error) {
	if s.via == nil || s.via.Scheme == "http" && s.url.Scheme == "http" {
		return true, nil // none, or one that is sent the request itself
	}
	begun := time.Now()
	address := net.JoinHostPort(s.url.Hostname(), strconv.Itoa(int(portOf(s.url))))
	err := tunnel(ctx, s.conn, s.via, address)
	if err == nil {
		s.answer.Timings.ProxyMS = since(begun)
		s.conn.begin()
		return true, nil
	}
	var refused *proxyError
	switch {
	case s.canceled() != nil:
		return false, s.canceled()
	case errors.As(err, &refused):
		s.answer.Proxy.Status = refused.status
		s.notHTTP(fact.StageProxy, fact.ReasonProxy, refused.reason)
		if refused.status != 0 {
			s.answer.Outcome = fact.OutcomeHTTPError
		}
		s.text().ProxyStatus = line(refused.statusLine, 200)
		if refused.err != nil {
			s.text().Error = line(s.secrets.hide(refused.err.Error()), 200)
		}
	case isTimeout(err):
		s.fail(fact.StageProxy, fact.OutcomeTimeout, "the proxy did not answer")
	case isReset(err):
		s.fail(fact.StageProxy, fact.OutcomeReset, "the proxy reset the connection")
	default:
		return false, err
	}
	return false, nil
}

// text is the part of the answer that the other side wrote.
func (s *step) text() *fact.HTTPText {
	if s.answer.Untrusted == nil {
		s.answer.Untrusted = &fact.HTTPText{}
	}
	return s.answer.Untrusted
}

// secure performs the TLS handshake for https.
func (s *step) secure(ctx context.Context) (bool, error) {
	if s.url.Scheme != "https" {
		return true, nil
	}
	h := &handshake{roots: s.loadRoots(ctx), name: s.serverName(), now: s.clock}
	h.fact.Insecure = s.Insecure
	s.conn.begin()
	begun := time.Now()
	err := h.do(ctx, s.conn, s.protocols())
	s.answer.TLS = &h.fact
	if err == nil {
		s.answer.Timings.TLSMS = since(begun)
		s.stream, s.tls = h.conn, h.conn
		return true, nil
	}
	switch {
	case s.canceled() != nil:
		return false, s.canceled()
	case h.fact.Error != nil:
		s.fail(fact.StageTLS, fact.OutcomeTLSFailed, h.fact.Error.Message)
		s.addEvidence(h.fact.Error.Code, err)
	case isReset(err):
		s.fail(fact.StageTLS, fact.OutcomeReset, "the connection was reset during the TLS handshake")
	default:
		_, received := s.conn.beginning()
		reason := "the server did not begin the TLS handshake in time"
		if s.began = received > 0; s.began {
			reason = fmt.Sprintf("the server began the TLS handshake (%d bytes) and did not end it in time", received)
		}
		s.fail(fact.StageTLS, fact.OutcomeTimeout, reason)
	}
	return false, nil
}

// addEvidence shows what came, where it is not TLS or breaks its rules.
func (s *step) addEvidence(code string, err error) {
	switch code {
	case fact.TLSNotTLS:
		first, _ := s.conn.beginning()
		s.text().FirstBytes, _ = printable(first[:min(len(first), maxFirstBytes)], 4*maxFirstBytes, false)
	case fact.TLSProtocol:
		s.text().Error = line(err.Error(), 200)
	}
}

// serverName is the name to ask for and to verify: that of the URL, whatever
// is connected to.
func (s *step) serverName() string {
	h, err := parseHost(s.url.Hostname())
	if err != nil {
		return "" // cannot be: the URL was checked
	}
	return h.String()
}

// protocols are those offered by ALPN.
func (s *step) protocols() []string {
	switch s.Version {
	case HTTP1:
		return []string{"http/1.1"}
	case HTTP2:
		return []string{"h2"}
	}
	return []string{"h2", "http/1.1"}
}

func (c *call) loadRoots(ctx context.Context) Roots {
	if c.roots == nil {
		roots := Roots{Pool: nil, From: "none"}
		if c.Roots != nil {
			roots = c.Roots(ctx)
		}
		c.roots = &roots
	}
	return *c.roots
}

func (c *Client) clock() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// since is the time since t, for a timing.
func since(t time.Time) *float64 {
	ms := milliseconds(time.Since(t))
	return &ms
}

// speaksHTTP2 reports whether HTTP/2 is spoken on the stream.
func (s *step) speaksHTTP2() bool {
	if s.Version == H2C {
		return true
	}
	return s.tls != nil && s.tls.ConnectionState().NegotiatedProtocol == "h2"
}

package fetch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/proxy"

	"nsenter-mcp/tools/fact"
)

// proxyVariables are those that HTTP clients obey, in the order in which they
// win. Programs differ: curl ignores HTTP_PROXY, Go ignores ALL_PROXY.
var proxyVariables = [...]string{
	"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
}

// Environ is the part of a container's environment that concerns HTTP clients.
// It holds credentials and never leaves as it is.
type Environ map[string]string

// ParseEnviron reads /proc/PID/environ: NAME=VALUE, each ended by a zero byte.
func ParseEnviron(text []byte) Environ {
	env := Environ{}
	for entry := range bytes.SplitSeq(text, []byte{0}) {
		name, value, ok := strings.Cut(string(entry), "=")
		if ok && value != "" && (slices.Contains(proxyVariables[:], name) || name == "SSL_CERT_FILE") {
			env[name] = value
		}
	}
	return env
}

// CertFile is SSL_CERT_FILE.
func (e Environ) CertFile() string { return e["SSL_CERT_FILE"] }

func (e Environ) first(names ...string) string {
	for _, name := range names {
		if value := e[name]; value != "" {
			return value
		}
	}
	return ""
}

// proxyFor returns the proxy that an application with this environment would
// use for u, nil for none.
func (e Environ) proxyFor(u *url.URL) (*url.URL, error) {
	all := e.first("all_proxy", "ALL_PROXY")
	config := httpproxy.Config{
		HTTPProxy:  e.first("http_proxy", "HTTP_PROXY"),
		HTTPSProxy: e.first("https_proxy", "HTTPS_PROXY"),
		NoProxy:    e.first("no_proxy", "NO_PROXY"),
	}
	if config.HTTPProxy == "" {
		config.HTTPProxy = all
	}
	if config.HTTPSProxy == "" {
		config.HTTPSProxy = all
	}
	return config.ProxyFunc()(u)
}

// report says what the environment has to do with a request for u; nil where
// it says nothing of proxies.
func (e Environ) report(u *url.URL) (*fact.Proxy, *url.URL) {
	found := &fact.Proxy{Untrusted: map[string]string{}}
	for _, name := range proxyVariables {
		if value := e[name]; value != "" {
			found.Untrusted[name] = line(withoutUserinfo(value), 200)
		}
	}
	if len(found.Untrusted) == 0 {
		return nil, nil
	}
	via, err := e.proxyFor(u)
	if err != nil || via == nil || via.Hostname() == "" {
		return found, nil
	}
	found.Applies = true
	return found, via
}

// withoutUserinfo removes credentials from the value of a variable, which may
// be a URL or only look like one.
func withoutUserinfo(value string) string {
	at := strings.LastIndexByte(value, '@')
	if at < 0 {
		return value
	}
	scheme, _, ok := strings.Cut(value[:at], "://")
	if !ok || !isScheme(scheme) { // else it is a part of the password
		return redacted + value[at:]
	}
	return scheme + "://" + redacted + value[at:]
}

// isScheme holds text against RFC 3986, section 3.1.
func isScheme(text string) bool {
	for i, c := range []byte(text) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return text != ""
}

const redacted = "REDACTED"

// proxyPort is where a proxy listens if its URL does not say.
func proxyPort(scheme string) string {
	switch scheme {
	case "https":
		return "443"
	case "socks5", "socks5h":
		return "1080"
	}
	return "80"
}

// proxyError says why a proxy did not connect further.
type proxyError struct {
	status     int    // 0 where none came
	statusLine string // the proxy's text
	reason     string // our words
	err        error
}

func (e *proxyError) Error() string { return e.reason }
func (e *proxyError) Unwrap() error { return e.err }

// tunnel makes conn, a connection to the proxy via, lead to host:port.
func tunnel(ctx context.Context, conn net.Conn, via *url.URL, address string) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection
	})
	var err error
	switch via.Scheme {
	case "socks5", "socks5h":
		err = socks(ctx, conn, via, address)
	default:
		err = connectMethod(conn, via, address)
	}
	if !stop() && ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, conn.SetDeadline(time.Time{}))
}

// maxProxyHeader bounds a proxy's answer to CONNECT.
const maxProxyHeader = 16 << 10

func connectMethod(conn net.Conn, via *url.URL, address string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n", address, address, userAgent)
	if auth := basicAuth(via.User); auth != "" {
		fmt.Fprintf(&b, "Proxy-Authorization: %s\r\n", auth)
	}
	b.WriteString("\r\n")
	if _, err := io.WriteString(conn, b.String()); err != nil {
		return err
	}
	// One byte at a time: what follows the header belongs to the tunnel.
	head, err := readHeader(conn)
	if err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return &proxyError{reason: "the proxy's answer to CONNECT is no HTTP", err: err}
	}
	_ = response.Body.Close() // there is none
	if response.StatusCode/100 != 2 {
		return &proxyError{
			status: response.StatusCode, statusLine: response.Status,
			reason: fmt.Sprintf("the proxy answered %d to CONNECT", response.StatusCode),
		}
	}
	return nil
}

func readHeader(conn net.Conn) ([]byte, error) {
	var head []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) && !bytes.HasSuffix(head, []byte("\n\n")) {
		if len(head) == maxProxyHeader {
			return nil, &proxyError{reason: fmt.Sprintf("the proxy's answer to CONNECT is longer than %d bytes", maxProxyHeader)}
		}
		n, err := conn.Read(one)
		head = append(head, one[:n]...)
		if err != nil && n == 0 {
			if errors.Is(err, io.EOF) {
				return nil, &proxyError{reason: "the proxy closed the connection instead of answering CONNECT", err: err}
			}
			return nil, err
		}
	}
	return head, nil
}

// basicAuth is the value of a header that authenticates user (RFC 7617), ""
// for nobody.
func basicAuth(user *url.Userinfo) string {
	if user == nil {
		return ""
	}
	password, _ := user.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
}

// ready is a dialer that has already dialled.
type ready struct{ net.Conn }

func (r ready) Dial(string, string) (net.Conn, error) { return r.Conn, nil }

func (r ready) DialContext(context.Context, string, string) (net.Conn, error) { return r.Conn, nil }

func socks(ctx context.Context, conn net.Conn, via *url.URL, address string) error {
	var auth *proxy.Auth
	if via.User != nil {
		password, _ := via.User.Password()
		auth = &proxy.Auth{User: via.User.Username(), Password: password}
	}
	dialer, err := proxy.SOCKS5("tcp", via.Host, auth, ready{conn})
	if err != nil {
		return err
	}
	if _, err := dialer.(proxy.ContextDialer).DialContext(ctx, "tcp", address); err != nil {
		if isTimeout(err) || isReset(err) {
			return err
		}
		return &proxyError{reason: "the SOCKS proxy did not connect further (untrusted.error)", err: err}
	}
	return nil
}

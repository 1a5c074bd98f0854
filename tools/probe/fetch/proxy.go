package fetch

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/proxy"

	"nsenter-mcp/internal/redact"
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
func (e Environ) proxyFor(u *url.URL, noProxy string) *url.URL {
	all := e.first("all_proxy", "ALL_PROXY")
	config := httpproxy.Config{
		HTTPProxy:  cmp.Or(e.first("http_proxy", "HTTP_PROXY"), all),
		HTTPSProxy: cmp.Or(e.first("https_proxy", "HTTPS_PROXY"), all),
		NoProxy:    noProxy,
	}
	if via, err := config.ProxyFunc()(u); err == nil && via != nil && via.Hostname() != "" {
		return via
	}
	return nil
}

// report says what the environment has to do with a request for u, nil where it says
// nothing of proxies; and the proxy of some or all clients.
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
	noProxy := e.first("no_proxy", "NO_PROXY")
	via := e.proxyFor(u, noProxy)
	if found.Applies = via != nil; !found.Applies {
		names, ranges := splitRanges(noProxy, u.Hostname())
		if via = e.proxyFor(u, names); via != nil {
			found.ExemptRange = ranges
		}
	}
	return found, via
}

// splitRanges divides a NO_PROXY into what each client understands, and the address
// ranges in it that hold the host, in CIDR notation, which not all do: curl before
// 7.86, Python's urllib and busybox wget take them for names.
func splitRanges(noProxy, host string) (names, ranges string) {
	ip, _ := netip.ParseAddr(host)
	var keep, hold []string
	for entry := range strings.SplitSeq(noProxy, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(entry))
		switch {
		case err != nil:
			keep = append(keep, entry)
		case p.Contains(ip.Unmap()):
			hold = append(hold, p.String())
		}
	}
	return strings.Join(keep, ","), strings.Join(hold, ", ")
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
		return redact.Replacement + value[at:]
	}
	return scheme + "://" + redact.Replacement + value[at:]
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
	// What follows the header belongs to the tunnel.
	limited := &io.LimitedReader{R: oneByte{conn}, N: maxProxyHeader}
	response, err := http.ReadResponse(bufio.NewReader(limited), &http.Request{Method: http.MethodConnect})
	var broken net.Error
	switch {
	case errors.As(err, &broken):
		return err
	case err != nil && limited.N == 0:
		return &proxyError{reason: fmt.Sprintf("the proxy's answer to CONNECT is longer than %d bytes", maxProxyHeader)}
	case err != nil && limited.N == maxProxyHeader:
		return &proxyError{reason: "the proxy closed the connection instead of answering CONNECT", err: err}
	case err != nil:
		return &proxyError{reason: "the proxy's answer to CONNECT is not HTTP", err: err}
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

// oneByte reads no further than who reads from it has to.
type oneByte struct{ io.Reader }

func (r oneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), 1)]) }

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

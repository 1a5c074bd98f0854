package fetch

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"nsenter-mcp/tools/fact"
)

// proxyServer is an HTTP proxy in the server's pod. It connects to the server's
// pod only, and wants the password "swordfish" where auth is set.
func (b *bench) proxyServer(auth bool) string {
	b.Helper()
	return b.serve(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth(); auth && password != "swordfish" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		if r.Method != http.MethodConnect {
			_, _ = fmt.Fprintf(w, "proxied %s", r.URL)
			return
		}
		there, err := b.server.Handle.DialContext(r.Context(), "tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
		join(here, buffered.Reader, there)
	})
}

func join(here net.Conn, from io.Reader, there net.Conn) {
	go func() {
		_, _ = io.Copy(there, from)
		_ = there.Close()
	}()
	_, _ = io.Copy(here, there)
	_ = here.Close()
}

// socksServer is a SOCKS5 proxy without authentication (RFC 1928).
func (b *bench) socksServer() string {
	b.Helper()
	return b.raw(func(conn net.Conn) {
		r := bufio.NewReader(conn)
		head := make([]byte, 2)
		_, _ = io.ReadFull(r, head)
		_, _ = io.ReadFull(r, make([]byte, head[1]))
		_, _ = conn.Write([]byte{5, 0})
		request := make([]byte, 4)
		_, _ = io.ReadFull(r, request)
		address := make([]byte, 4)
		if request[3] != 1 { // not an IPv4 address
			_, _ = conn.Write([]byte{5, 8, 0, 1, 0, 0, 0, 0, 0, 0})
			return
		}
		_, _ = io.ReadFull(r, address)
		port := make([]byte, 2)
		_, _ = io.ReadFull(r, port)
		to := net.JoinHostPort(net.IP(address).String(), fmt.Sprint(binary.BigEndian.Uint16(port)))
		there, err := b.server.Handle.DialContext(b.Context(), "tcp", to)
		if err != nil {
			_, _ = conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
			return
		}
		_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		join(conn, r, there)
	})
}

func TestProxy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	plain := "http://" + b.serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "direct") })
	secure := "https://" + b.secure(&tls.Config{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "direct") })
	open, guarded, sock := b.proxyServer(false), b.proxyServer(true), b.socksServer()
	gone := b.server.IP.String() + ":9"

	for _, c := range []struct {
		name    string
		url     string
		env     Environ
		direct  bool // without use_proxy
		outcome fact.Outcome
		stage   fact.Stage
		applies bool
		body    string
		status  int // of the proxy
	}{
		{"none set", plain, Environ{}, false, fact.OutcomeOK, fact.StageDone, false, "direct", 0},
		{"set and not asked for", plain, Environ{"http_proxy": "http://" + open}, true, fact.OutcomeOK, fact.StageDone, true, "direct", 0},
		{"http", plain, Environ{"http_proxy": "http://" + open}, false, fact.OutcomeOK, fact.StageDone, true, "proxied " + plain + "/", 0},
		{"without a scheme", plain, Environ{"HTTP_PROXY": open}, false, fact.OutcomeOK, fact.StageDone, true, "proxied " + plain + "/", 0},
		{"for all", plain, Environ{"ALL_PROXY": "http://" + open}, false, fact.OutcomeOK, fact.StageDone, true, "proxied " + plain + "/", 0},
		{"https", secure, Environ{"https_proxy": "http://" + open}, false, fact.OutcomeOK, fact.StageDone, true, "direct", 0},
		{"for the other scheme", secure, Environ{"http_proxy": "http://" + open}, false, fact.OutcomeOK, fact.StageDone, false, "direct", 0},
		{"excepted by prefix", plain, Environ{"http_proxy": "http://" + gone, "no_proxy": "10.244.0.0/16"}, false, fact.OutcomeOK, fact.StageDone, false, "direct", 0},
		{"gone", plain, Environ{"http_proxy": "http://" + gone}, false, fact.OutcomeRefused, fact.StageConnect, true, "", 0},
		{"password", plain, Environ{"http_proxy": "http://user:swordfish@" + guarded}, false, fact.OutcomeOK, fact.StageDone, true, "proxied " + plain + "/", 0},
		{"password for https", secure, Environ{"HTTPS_PROXY": "http://user:swordfish@" + guarded}, false, fact.OutcomeOK, fact.StageDone, true, "direct", 0},
		{"no password", plain, Environ{"http_proxy": "http://" + guarded}, false, fact.OutcomeHTTPError, fact.StageDone, true, "", 0},
		{"no password for https", secure, Environ{"https_proxy": "http://" + guarded}, false, fact.OutcomeHTTPError, fact.StageProxy, true, "", 407},
		{"it cannot connect further", "https://" + gone, Environ{"https_proxy": "http://" + open}, false, fact.OutcomeHTTPError, fact.StageProxy, true, "", 502},
		{"SOCKS", plain, Environ{"all_proxy": "socks5://" + sock}, false, fact.OutcomeOK, fact.StageDone, true, "direct", 0},
		{"SOCKS for https", secure, Environ{"all_proxy": "socks5h://" + sock}, false, fact.OutcomeOK, fact.StageDone, true, "direct", 0},
		{"SOCKS cannot connect further", "http://" + gone, Environ{"all_proxy": "socks5://" + sock}, false, fact.OutcomeNotHTTP, fact.StageProxy, true, "", 0},
		{"not a proxy", secure, Environ{"https_proxy": "http://" + b.says("SSH-2.0-x\r\n\r\n")}, false, fact.OutcomeNotHTTP, fact.StageProxy, true, "", 0},
		{"a proxy that closes", secure, Environ{"https_proxy": "http://" + b.says("")}, false, fact.OutcomeNotHTTP, fact.StageProxy, true, "", 0},
		{"an endless proxy", secure, Environ{"https_proxy": "http://" + b.says("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("a", 2*maxProxyHeader))}, false,
			fact.OutcomeNotHTTP, fact.StageProxy, true, "", 0},
		{"a silent proxy", secure, Environ{"https_proxy": "http://" + b.silent()}, false,
			fact.OutcomeTimeout, fact.StageProxy, true, "", 0},
	} {
		b.run(c.name, func(b *bench) {
			b.client.Environ = c.env
			fetch := b.fetch
			if c.outcome == fact.OutcomeTimeout {
				fetch = func(r Request) *fact.Fetch { return b.fetchWithin(r, hang) }
			}
			f := fetch(Request{URL: c.url, UseProxy: !c.direct})
			b.expect(f, c.outcome, c.stage)
			if c.body != "" && f.Untrusted.Body != c.body {
				b.Errorf("body %q, want %q", f.Untrusted.Body, c.body)
			}
			if (f.Proxy != nil) != (len(c.env) > 0) {
				b.Fatalf("proxy %+v", f.Proxy)
			}
			if f.Proxy != nil && (f.Proxy.Applies != c.applies || f.Proxy.Used != (c.applies && !c.direct) || f.Proxy.Status != c.status) {
				b.Errorf("%+v", f.Proxy)
			}
			if f.Proxy != nil && strings.Contains(fmt.Sprint(f.Proxy), "swordfish") {
				b.Errorf("credentials in %+v", f.Proxy)
			}
		})
	}
}

// TestProxyOfTheCaller: the one that is asked for is used, whatever the variables say.
func TestProxyOfTheCaller(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	plain := "http://" + b.serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "direct") })
	open := b.proxyServer(false)
	b.client.Environ = Environ{"http_proxy": "http://" + b.server.IP.String() + ":9", "no_proxy": "10.0.0.0/8"}
	for _, proxy := range []string{open, "http://" + open} {
		f := b.fetch(Request{URL: plain, Proxy: proxy})
		b.expect(f, fact.OutcomeOK, fact.StageDone)
		if f.Untrusted.Body != "proxied "+plain+"/" || !f.Proxy.Used || f.Proxy.Address != "http://"+open {
			t.Errorf("%s: %+v %+v", proxy, f.Untrusted, f.Proxy)
		}
	}
	for _, proxy := range []string{"https://" + open, "http://", "http://user:swordfish@a b", open + "0000"} {
		_, err := b.fetchErr(Request{URL: plain, Proxy: proxy})
		var argument *ArgumentError
		if !errors.As(err, &argument) || argument.Field != "proxy" || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("%s: %v", proxy, err)
		}
	}
}

func TestProxyIsNoWayAroundThePolicy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	open := "http://" + b.proxyServer(false)
	rebound := hosts(map[string][]string{"metadata.test": {"169.254.169.254"}})
	for _, c := range []struct {
		name string
		url  string
		env  Environ
	}{
		{"the proxy is the destination", "http://192.0.2.1/", Environ{"http_proxy": "http://169.254.169.254:80"}},
		{"the proxy is the destination, in decimal", "http://192.0.2.1/", Environ{"http_proxy": "http://2852039166:80"}},
		{"the proxy's name leads there", "http://192.0.2.1/", Environ{"http_proxy": "http://metadata.test:80"}},
		{"literal behind the proxy", "http://169.254.169.254/", Environ{"http_proxy": open}},
		{"octal behind the proxy", "http://0251.0376.0251.0376/", Environ{"http_proxy": open}},
		{"literal behind CONNECT", "https://169.254.169.254/", Environ{"https_proxy": open}},
		{"name behind the proxy", "http://metadata.test/", Environ{"http_proxy": open}},
		{"literal behind SOCKS", "http://169.254.169.254/", Environ{"all_proxy": "socks5://" + b.socksServer()}},
	} {
		b.run(c.name, func(b *bench) {
			d := &deny{}
			b.client.Allow, b.client.Lookup, b.client.Environ = d.allow, rebound, c.env
			f, err := b.fetchErr(Request{URL: c.url, UseProxy: true})
			var denied *DeniedError
			if !errors.As(err, &denied) {
				b.Errorf("%+v, %v", f, err)
			}
		})
	}
	for _, c := range []struct {
		name    string
		request Request
		allowed bool
	}{
		{"a name that nobody can judge", Request{URL: "http://elsewhere.test/"}, false},
		{"a foreign Host header", Request{URL: "http://192.0.2.1/", Headers: map[string]string{"Host": "169.254.169.254"}}, false},
		{"another port in the Host header", Request{URL: "http://192.0.2.1/", Headers: map[string]string{"host": "192.0.2.1:81"}}, false},
		{"the URL's own host in the header", Request{URL: "http://192.0.2.1/", Headers: map[string]string{"Host": "192.0.2.1:80"}}, true},
	} {
		b.run(c.name, func(b *bench) {
			d := &deny{}
			b.client.Allow, b.client.Lookup, b.client.Environ = d.allow, rebound, Environ{"http_proxy": open}
			c.request.UseProxy = true
			f, err := b.fetchErr(c.request)
			var denied *DeniedError
			if errors.As(err, &denied) == c.allowed || c.allowed && f.Outcome != fact.OutcomeOK {
				b.Errorf("%+v, %v", f, err)
			}
		})
	}
}

func TestProxyThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.client.Environ = Environ{"https_proxy": "https://10.0.0.1:3128"}
	_, err := b.fetchErr(Request{URL: "https://10.0.0.2", UseProxy: true})
	var argument *ArgumentError
	if !errors.As(err, &argument) || argument.Field != "use_proxy" {
		t.Errorf("%v", err)
	}
}

package mcpserve

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"nsenter-mcp/internal/dispatch"

	"github.com/mark3labs/mcp-go/mcp"
)

// What is refused never reaches a tool, and what is nearly the same passes.
func TestHTTPRefusals(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{}
	s := serveHTTP(t, d, nil)
	inSession := era{session: s.open(testSecret), token: testSecret}
	port := s.url[strings.LastIndex(s.url, ":")+1 : len(s.url)-len(Endpoint)]
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"nothing", func(*http.Request) {}, 200},

		{"no token", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"wrong token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer 1123456789abcdef0123456789abcdef") }, 401},
		{"part of the token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+testSecret[:31]) }, 401},
		{"more than the token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+testSecret+"0") }, 401},
		{"empty token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, 401},
		{"token as a password", func(r *http.Request) { r.SetBasicAuth("test", testSecret) }, 401},
		{"token of other scheme", func(r *http.Request) { r.Header.Set("Authorization", "Token "+testSecret) }, 401},
		{"token in small letters' scheme", func(r *http.Request) { r.Header.Set("Authorization", "bearer "+testSecret) }, 200},

		{"foreign origin", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		{"opaque origin", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		{"origin of another port", func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:1") }, 403},
		{"own origin", func(r *http.Request) { r.Header.Set("Origin", "http://"+r.Host) }, 200},
		{"foreign origin and host", func(r *http.Request) {
			r.Host = "evil.example:" + port
			r.Header.Set("Origin", "http://"+r.Host)
		}, 403},

		{"foreign host", func(r *http.Request) { r.Host = "evil.example:" + port }, 403},
		{"host that begins like loopback", func(r *http.Request) { r.Host = "127.0.0.1.evil.example" }, 403},
		{"host of the network", func(r *http.Request) { r.Host = "192.0.2.1:" + port }, 403},
		{"localhost", func(r *http.Request) { r.Host = "LocalHost" }, 200},
		{"forwarded port", func(r *http.Request) { r.Host = "localhost:9" }, 200},
		{"IPv6 loopback", func(r *http.Request) { r.Host = "[::1]" }, 200},
		{"other loopback address", func(r *http.Request) { r.Host = "127.9.9.9:" + port }, 200},

		{"wrong path", func(r *http.Request) { r.URL.Path = "/" }, 404},
		{"longer path", func(r *http.Request) { r.URL.Path = Endpoint + "/" }, 404},
		{"GET", func(r *http.Request) { bodyless(r, http.MethodGet) }, 405},
		{"PUT", func(r *http.Request) { r.Method = http.MethodPut }, 405},
		{"form", func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, 415},
		{"no content type", func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		{"charset", func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") }, 200},
		{"reads HTML only", func(r *http.Request) { r.Header.Set("Accept", "text/html") }, 406},
		{"reads all", func(r *http.Request) { r.Header.Set("Accept", "*/*") }, 200},
		{"reads anything", func(r *http.Request) { r.Header.Del("Accept") }, 200},
		{"unknown version", func(r *http.Request) { r.Header.Set("Mcp-Protocol-Version", "1999-01-01") }, 400},
		{"older version", func(r *http.Request) { r.Header.Set("Mcp-Protocol-Version", "2025-03-26") }, 200},

		{"no session", func(r *http.Request) { r.Header.Del(mcp.HeaderSessionID) }, 400},
		{"forged session", func(r *http.Request) { r.Header.Set(mcp.HeaderSessionID, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") }, 404},
		{"mcp-go's session", func(r *http.Request) {
			r.Header.Set(mcp.HeaderSessionID, "mcp-session-00000000-0000-4000-8000-000000000000")
		}, 404},
		{"another's session", func(r *http.Request) { r.Header.Set("Authorization", "Bearer other-"+testSecret) }, 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.with(t)
			before := len(d.recorded())
			r := s.call(inSession, "1", "echo", "{}")
			c.change(r)
			got := s.do(r)
			if got.status != c.status {
				t.Fatalf("status %d, want %d: %s", got.status, c.status, got.body)
			}
			m := got.one(t)
			if c.status == 200 {
				if m.Error != nil || string(m.ID) != "1" {
					t.Errorf("%s", got.body)
				}
				return
			}
			if m.Error == nil || string(m.ID) != "null" {
				t.Errorf("the body does not say why: %s", got.body)
			}
			if n := len(d.recorded()) - before; n != 0 {
				t.Errorf("%d calls came through", n)
			}
			if c.status == 401 && got.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("WWW-Authenticate: %q", got.header.Get("WWW-Authenticate"))
			}
			if c.status == 405 && got.header.Get("Allow") == "" {
				t.Error("no Allow header")
			}
		})
	}
}

func TestHTTPBodies(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, &fakeDispatcher{}, nil)
	for _, e := range s.eras() {
		for _, c := range []struct {
			name, body string
			status     int
			code       int
			id         string
		}{
			{"2 MB", `{"x":"` + strings.Repeat("x", 2<<20) + `"}`, 413, -32600, "null"},
			{"one byte too long", strings.Repeat(" ", 1<<20+1), 413, -32600, "null"},
			{"no JSON", `{"jsonrpc":`, 400, -32700, "null"},
			{"empty", ``, 400, -32700, "null"},
			{"batch", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, 400, -32600, "null"},
			{"a string", `"ping"`, 400, -32600, "null"},
			{"id of a wrong type", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, 400, -32600, "null"},
			{"no method", `{"jsonrpc":"2.0","id":3}`, 400, -32600, "3"},
		} {
			t.Run(e.name+"/"+c.name, func(t *testing.T) {
				s := s.with(t)
				r := s.post(c.body, e)
				if e.session == "" {
					r.Header.Set("Mcp-Protocol-Version", "2026-07-28")
				}
				got := s.do(r)
				m := got.one(t)
				if got.status != c.status || m.Error == nil || m.Error.Code != c.code || string(m.ID) != c.id {
					t.Errorf("%d %s", got.status, got.body)
				}
			})
		}
	}
}

// A body of the greatest length is read, and the request in it refused by its id.
func TestHTTPLongestBody(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, &fakeDispatcher{}, nil)
	for _, e := range s.eras() {
		r := s.call(e, "1", "echo", "{}")
		short := r.ContentLength
		r = s.call(e, "1", "echo", `{"tag":"`+strings.Repeat("x", 1<<20-int(short)-len(`"tag":""`))+`"}`)
		if r.ContentLength != 1<<20 {
			t.Fatalf("%d bytes", r.ContentLength)
		}
		if m := s.do(r).one(t); string(m.ID) != "1" || m.Error == nil {
			t.Errorf("%s: %+v", e.name, m)
		}
	}
}

func TestHTTPStatelessHeaders(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{}
	s := serveHTTP(t, d, nil)
	e := era{token: testSecret}
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		code   int // 0: passes
	}{
		{"all right", func(*http.Request) {}, 0},
		{"session id without meaning", set(mcp.HeaderSessionID, "x"), 0},
		{"name in base64", set("Mcp-Name", "=?base64?ZWNobw==?="), 0},
		{"no version", func(r *http.Request) { r.Header.Del("Mcp-Protocol-Version") }, -32020},
		{"earlier version", set("Mcp-Protocol-Version", "2025-11-25"), -32020},
		{"later version", set("Mcp-Protocol-Version", "2027-01-01"), -32020},
		{"no method", func(r *http.Request) { r.Header.Del("Mcp-Method") }, -32020},
		{"other method", set("Mcp-Method", "tools/list"), -32020},
		{"no name", func(r *http.Request) { r.Header.Del("Mcp-Name") }, -32020},
		{"other name", set("Mcp-Name", "fail"), -32020},
		{"stream to resume", set("Last-Event-ID", "7"), -32020},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.with(t)
			before := len(d.recorded())
			r := s.call(e, "1", "echo", "{}")
			c.change(r)
			got := s.do(r)
			m := got.one(t)
			if string(m.ID) != "1" {
				t.Errorf("id %s", m.ID)
			}
			if c.code == 0 {
				if got.status != 200 || m.Error != nil {
					t.Errorf("%d %s", got.status, got.body)
				}
				return
			}
			if got.status != 400 || m.Error == nil || m.Error.Code != c.code || len(d.recorded()) != before {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		r := s.call(e, "1", "echo", "{}")
		bodyless(r, method)
		if got := s.do(r); got.status != 405 || got.header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, got.status, got.header.Get("Allow"))
		}
	}
	for body, status := range map[string]int{
		`{"jsonrpc":"2.0","id":1,"result":{}}`:                         400,
		`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`:               400,
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{%s}}`: 404,
		`{"jsonrpc":"2.0","id":1,"method":"ping","params":{%s}}`:       404,
	} {
		var head struct{ Method string }
		body = strings.Replace(body, "%s", statelessMeta, 1)
		for _, m := range []string{"initialize", "ping", "tools/list"} {
			if strings.Contains(body, `"`+m+`"`) {
				head.Method = m
			}
		}
		r := s.post(body, e)
		r.Header.Set("Mcp-Protocol-Version", "2026-07-28")
		r.Header.Set("Mcp-Method", head.Method)
		if got := s.do(r); got.status != status || got.one(t).Error == nil || string(got.one(t).ID) != "1" {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
}

func TestHTTPAllowedOrigins(t *testing.T) {
	t.Parallel()
	const page = "http://localhost:6274"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := HTTPConfig{Tokens: []Token{newTestToken(t, "test", testSecret)}, Origins: []string{page}}
	s := serveOn(t, l, &fakeDispatcher{}, config, nil)

	// A browser asks first, without the token.
	ask := s.post("", era{})
	bodyless(ask, http.MethodOptions)
	ask.Header.Del("Authorization")
	ask.Header.Set("Origin", page)
	ask.Header.Set("Access-Control-Request-Method", "POST")
	ask.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
	got := s.do(ask)
	if got.status != 204 || got.header.Get("Access-Control-Allow-Origin") != page ||
		got.header.Get("Access-Control-Allow-Headers") != "authorization,content-type" {
		t.Errorf("preflight: %d %v", got.status, got.header)
	}
	// Then it calls; the page must be able to read the session's id.
	call := s.post(initialize, era{token: testSecret})
	call.Header.Set("Origin", page)
	got = s.do(call)
	if got.status != 200 || got.header.Get("Access-Control-Allow-Origin") != page || !strings.Contains(got.header.Get("Access-Control-Expose-Headers"), mcp.HeaderSessionID) {
		t.Errorf("call: %d %v", got.status, got.header)
	}
	// Others get no such permission, and the token is still needed.
	ask.Header.Set("Origin", "http://localhost:6275")
	if got = s.do(ask); got.status != 403 || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("foreign preflight: %d %v", got.status, got.header)
	}
	call = s.post(initialize, era{token: "x"})
	call.Header.Set("Origin", page)
	if got = s.do(call); got.status != 401 {
		t.Errorf("allowed origin without token: %d", got.status)
	}
}

func TestHTTPUnknownTool(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, &fakeDispatcher{}, nil)
	for _, e := range s.eras() {
		m := s.do(s.call(e, "7", "ecko", "{}")).one(t)
		const want = `unknown tool "ecko": did you mean echo?`
		if m.Error == nil || m.Error.Code != -32602 || m.Error.Message != want || !strings.Contains(string(m.Error.Data), dispatch.CodeUnknownTool) {
			t.Errorf("%s: %+v", e.name, m.Error)
		}
	}
}

func TestHTTPIDsAreEchoedByteForByte(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, &fakeDispatcher{}, nil)
	for _, e := range s.eras() {
		for _, id := range []string{`0`, `-1`, `9007199254740993`, `1.50`, `"a b"`, `"\u00e9<"`, `""`, `"1"`} {
			for _, r := range []*http.Request{
				s.request(e, id, "tools/list", "", ""), s.request(e, id, "no/such", "", ""),
				s.call(e, id, "echo", "{}"), s.call(e, id, "ecko", "{}"), s.call(e, id, "panic", "{}"), s.call(e, id, "progress", "{}"),
			} {
				messages := s.do(r).messages
				if got := messages[len(messages)-1].ID; idKey(got) != idKey([]byte(id)) {
					t.Errorf("%s, id %s: got %s", e.name, id, got)
				}
			}
		}
	}
}

func TestHTTPCallerAndReceipt(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{}
	s := serveHTTP(t, d, nil)
	for _, e := range s.eras() {
		s.do(s.call(e, "1", "echo", "{}"))
		s.do(s.call(e, "1", "ecko", "{}"))
	}
	e := era{session: s.open("other-" + testSecret), token: "other-" + testSecret}
	s.do(s.call(e, "1", "echo", "{}"))
	var callers []string
	for _, c := range d.recorded() {
		if c.Received.IsZero() {
			t.Errorf("%+v has no time of receipt", c)
		}
		callers = append(callers, c.Caller)
	}
	if got := fmt.Sprint(callers); got != "[http:test http:test http:test http:test http:other]" {
		t.Error(got)
	}
}

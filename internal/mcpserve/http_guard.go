package mcpserve

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// guard decides which requests are looked at. The order counts: what a web page
// may not send is refused before a token could tell anything.
type guard struct {
	tokens  []Token
	origins []string
}

// connKey is the key of the connection in the context of its requests.
type connKey struct{}

// admit returns who sent the request, or why it is refused. The caller stands
// in the audit log: "http:" and the name of the token, or the peer of the unix
// socket.
func (g *guard) admit(out http.Header, r *http.Request) (caller string, refused *refusal) {
	if onLoopback(r) && !isLoopbackHost(r.Host) {
		return "", refusef(http.StatusForbidden,
			"host %q is not this machine's: a web page may have pointed its own name here; use 127.0.0.1 or localhost", clip(r.Host))
	}
	// Scripts may call that the operator named, and those that came from here. The latter
	// can only be claimed where the host was checked.
	origin := r.Header.Get("Origin")
	fromHere := onLoopback(r) && strings.EqualFold(origin, "http://"+r.Host)
	if origin != "" && !fromHere && !slices.Contains(g.origins, origin) {
		return "", refusef(http.StatusForbidden, "web pages of origin %q may not call; the operator can allow it", clip(origin))
	}
	if c, ok := r.Context().Value(connKey{}).(*net.UnixConn); ok && len(g.tokens) == 0 {
		return "http:" + peerOf(c), nil
	}
	name, ok := match(g.tokens, r.Header.Get("Authorization"))
	if !ok {
		out.Set("WWW-Authenticate", "Bearer")
		return "", refusef(http.StatusUnauthorized, "send the header 'Authorization: Bearer TOKEN' with the token that the operator gave you")
	}
	return "http:" + name, nil
}

// preflight answers the question that a browser asks before it lets a page of
// another origin call (https://fetch.spec.whatwg.org/#http-cors-protocol), and
// marks the answers to its calls as readable. Origins that may not call get no
// such mark.
func (g *guard) preflight(w http.ResponseWriter, r *http.Request) (done bool) {
	origin := r.Header.Get("Origin")
	if !slices.Contains(g.origins, origin) {
		return false
	}
	out := w.Header()
	out.Set("Access-Control-Allow-Origin", origin)
	out.Set("Access-Control-Expose-Headers", "Mcp-Session-Id, WWW-Authenticate")
	out.Add("Vary", "Origin")
	if r.Method != http.MethodOptions {
		return false
	}
	out.Set("Access-Control-Allow-Methods", "POST, DELETE")
	out.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
	w.WriteHeader(http.StatusNoContent)
	return true
}

// onLoopback reports whether the request came over TCP to this machine alone,
// which is where browsers can be tricked into sending one.
func onLoopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.IP.IsLoopback()
}

// isLoopbackHost reports whether a Host header names this machine. The port is
// of no interest: it is another one where a port is forwarded to here.
func isLoopbackHost(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	address, err := netip.ParseAddr(name)
	return strings.EqualFold(name, "localhost") || err == nil && address.IsLoopback()
}

package fetch

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// TestLoopbackIsTheTargets: something listens on the same address where this
// process lives, and must hear nothing.
func TestLoopbackIsTheTargets(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	decoy, err := net.Listen("tcp", "127.0.0.1:0")
	b.must(err)
	var heard atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := decoy.Accept()
			if err != nil {
				return // closed below
			}
			heard.Add(1)
			_ = conn.Close()
		}
	}()
	at := decoy.Addr().String()
	f := b.get("http://" + at)
	b.expect(f, fact.OutcomeRefused, fact.StageConnect)
	if f.Attempts[0].Cause != fact.CauseNoListener {
		t.Errorf("%+v", f.Attempts[0])
	}
	_, err = b.pod.Serve(at, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "inside") }))
	b.must(err)
	if f := b.get("http://" + at); f.Untrusted == nil || f.Untrusted.Body != "inside" {
		t.Errorf("%+v", f)
	}
	b.must(decoy.Close())
	<-done
	if n := heard.Load(); n > 0 {
		t.Errorf("%d connections escaped", n)
	}
}

// TestLinkLocalAddress: the zone names an interface of the target, which may
// have another index here.
func TestLinkLocalAddress(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h, err := b.server.Handle.Netlink(unix.NETLINK_ROUTE)
	b.must(err)
	defer h.Close()
	link, err := h.LinkByName("eth0")
	b.must(err)
	addresses, err := h.AddrList(link, netlink.FAMILY_V6)
	b.must(err)
	for _, a := range addresses {
		if !a.IP.IsLinkLocalUnicast() {
			continue
		}
		_, err := b.server.Serve("[::]:8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }))
		b.must(err)
		f := b.get("http://[" + a.IP.String() + url.PathEscape("%eth0") + "]:8080/")
		b.expect(f, fact.OutcomeOK, fact.StageDone)
		if want := "[" + a.IP.String() + "]:8080"; f.Untrusted.Body != want {
			t.Errorf("the server saw the host %s, want %s", f.Untrusted.Body, want)
		}
		for _, zone := range []string{"", "%nobody"} {
			_, err = b.fetchErr(Request{URL: "http://[" + a.IP.String() + url.PathEscape(zone) + "]:8080/"})
			var argument *ArgumentError
			if !errors.As(err, &argument) {
				t.Errorf("zone %q: %v", zone, err)
			}
		}
		return
	}
	t.Fatal("the server has no link-local address")
}

package attempt

import (
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// onePort leaves the pod a single port for its own connections, as one that makes
// very many has in the end: they differ by their destination only.
func onePort(s *scene) {
	s.Helper()
	s.must(s.pod.SetSysctl("net/ipv4/ip_local_port_range", "40000 40000"))
}

// keepConnecting makes the pod connect to an address again and again until the
// test ends. Each connection is reset, so that its port is free at once.
func keepConnecting(s *scene, to netip.AddrPort) {
	s.Helper()
	var all sync.WaitGroup
	end := make(chan struct{})
	all.Go(func() {
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-end:
				tick.Stop()
				return
			case <-tick.C:
			}
			conn, err := s.pod.Handle.DialContext(s.Context(), "tcp", to.String())
			if err != nil {
				continue // the test ends, or the port is not yet free again
			}
			if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
				_ = tcp.SetLinger(0)
			}
			_ = conn.Close()
		}
	})
	s.Cleanup(func() { close(end); all.Wait() })
}

// keepHanging makes the pod send SYNs that nobody answers until the test ends.
func keepHanging(s *scene, to netip.AddrPort) {
	s.Helper()
	firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, to.Port()), drop())
	var all sync.WaitGroup
	all.Go(func() {
		if conn, err := s.pod.Handle.DialContext(s.Context(), "tcp", to.String()); err == nil {
			_ = conn.Close()
			s.Errorf("%s answered", to)
		}
	})
	s.Cleanup(all.Wait)
}

// sendOn makes the pod's own connections to port lead to another address.
func sendOn(s *scene, port uint16, to netip.Addr) {
	s.Helper()
	change(s, s.pod.Netns, func(conn *nftables.Conn) {
		table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "dnat"})
		chain := conn.AddChain(&nftables.Chain{
			Name: "dnat", Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest,
		})
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(portIs(2, port),
			&expr.Immediate{Register: 1, Data: to.AsSlice()},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(nftables.TableFamilyIPv4), RegAddrMin: 1})})
	})
}

// What is seen of one connection is not taken for another's that has the same
// local port.
func TestCausesOnASharedPort(t *testing.T) {
	t.Parallel()
	const enough = 2500 * time.Millisecond
	for _, c := range []struct {
		name    string
		prepare func(s *scene, other *lab.Pod) netip.AddrPort
		outcome fact.Outcome
		cause   fact.Cause
		sentTo  string // by the pod's NAT; "server" for the server
	}{
		{"lost, while another is answered", func(s *scene, other *lab.Pod) netip.AddrPort {
			firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
			keepConnecting(s, netip.AddrPortFrom(other.IP, 80))
			return s.to
		}, fact.OutcomeTimeout, fact.CauseLost, ""},
		{"lost over IPv6, while another is answered", func(s *scene, other *lab.Pod) netip.AddrPort {
			firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
			keepConnecting(s, netip.AddrPortFrom(other.IP6, 80))
			return netip.AddrPortFrom(s.server.IP6, 80)
		}, fact.OutcomeTimeout, fact.CauseLost, ""},
		{"answer dropped, while another is lost", func(s *scene, other *lab.Pod) netip.AddrPort {
			at, err := other.Serve(":90", http.NotFoundHandler())
			s.must(err)
			firewall(s, s.pod.Netns, nftables.ChainHookInput, portIs(0, at.Port()), drop())
			keepHanging(s, s.to)
			return netip.AddrPortFrom(other.IP, at.Port())
		}, fact.OutcomeBlockedLocally, fact.CausePodDropIn, ""},
		{"dropped on the way out, while another is lost", func(s *scene, other *lab.Pod) netip.AddrPort {
			firewall(s, s.pod.Netns, nftables.ChainHookOutput, portIs(2, 90), drop())
			keepHanging(s, s.to)
			return netip.AddrPortFrom(other.IP, 90)
		}, fact.OutcomeBlockedLocally, fact.CausePodDropOut, ""},
		{"rewritten and lost, while another is answered", func(s *scene, other *lab.Pod) netip.AddrPort {
			firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, 90), drop())
			sendOn(s, 90, s.server.IP)
			keepConnecting(s, netip.AddrPortFrom(other.IP, 80))
			return netip.AddrPortFrom(s.lab.Node.IP, 90)
		}, fact.OutcomeTimeout, fact.CauseLost, "server"},
		{"rewritten, and the answer dropped, while another is lost", func(s *scene, _ *lab.Pod) netip.AddrPort {
			_, err := s.server.Serve(":90", http.NotFoundHandler())
			s.must(err)
			sendOn(s, 90, s.server.IP)
			firewall(s, s.pod.Netns, nftables.ChainHookInput, portIs(0, 90), drop())
			keepHanging(s, s.to)
			return netip.AddrPortFrom(s.lab.Node.IP, 90)
		}, fact.OutcomeBlockedLocally, fact.CausePodDropIn, "server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			other := s.lab.Pod(t, lab.PodSpec{Name: "other", IPv6: true})
			_, err := other.Serve("[::]:80", http.NotFoundHandler())
			s.must(err)
			onePort(s)
			to := c.prepare(s, other)
			_, a := s.connect(to, enough)
			own := s.pod.IP
			if to.Addr().Is6() {
				own = s.pod.IP6
			}
			if a.Outcome != c.outcome || a.Cause != c.cause || a.Local != netip.AddrPortFrom(own, 40000).String() {
				t.Errorf("%s, %s from %s; want %s, %s", a.Outcome, a.Cause, a.Local, c.outcome, c.cause)
			}
			if c.sentTo == "server" {
				c.sentTo = netip.AddrPortFrom(s.server.IP, 90).String()
			}
			if c.sentTo != "" && a.SentTo != c.sentTo {
				t.Errorf("sent to %s, want %s", a.SentTo, c.sentTo)
			}
		})
	}
}

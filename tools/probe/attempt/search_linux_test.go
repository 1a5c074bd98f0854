package attempt

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
)

// quickSearch makes the pod's kernel ask for each link-layer address once, and
// give up after the time, in which nobody is asked again.
func quickSearch(s *scene, family, took string) {
	s.Helper()
	s.must(s.pod.SetSysctl("net/"+family+"/neigh/eth0/mcast_solicit", "1"))
	s.must(s.pod.SetSysctl("net/"+family+"/neigh/eth0/retrans_time_ms", took))
}

// search makes the pod's kernel ask for the link-layer address of to.
func search(s *scene, to netip.AddrPort) {
	s.Helper()
	conn, err := s.pod.Handle.DialContext(s.Context(), "udp", to.String())
	s.must(err)
	_, err = conn.Write([]byte("x"))
	s.must(err)
	s.must(conn.Close())
}

// own gives the server an address of its own network.
func own(s *scene, ip netip.Addr) {
	s.Helper()
	s.rtnl(s.server.Netns, func(h *netlink.Handle) error {
		link, err := h.LinkByName("eth0")
		if err != nil {
			return err
		}
		return h.AddrAdd(link, &netlink.Addr{
			IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(ip.BitLen(), ip.BitLen())}, Flags: unix.IFA_F_NODAD,
		})
	})
}

// Right after a repair the kernel still ends the search that began before, and
// fails whoever waits for it.
func TestEndOfAnOlderSearch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		family string
		free   func(*scene) netip.Addr // nobody's
	}{
		{"ipv4", func(s *scene) netip.Addr { return s.server.IP.Next().Next() }},
		{"ipv6", func(s *scene) netip.Addr { return s.server.IP6.Next().Next() }},
	} {
		t.Run(c.family, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			quickSearch(s, c.family, "500") // before a watcher asks by itself
			to := netip.AddrPortFrom(c.free(s), 80)
			// Where the machine is so busy that the search has ended before, there was none.
			for again, rounds := false, 0; !again; rounds++ {
				if rounds == 20 {
					t.Fatal("no search was met")
				}
				search(s, to)
				own(s, to.Addr())
				conn, a := s.connect(to, 20*time.Second)
				if conn == nil {
					t.Fatalf("%s: %s", a.Outcome, a.Why)
				}
				again = a.AgainAfterMS > 0
				if again && (a.Why == "" || a.MS < a.AgainAfterMS || a.Errno != "") {
					t.Errorf("%+v", a)
				}
				to = netip.AddrPortFrom(to.Addr().Next(), 80)
			}
		})
	}
}

// Who is not there is not there the second time either, and is not asked a third.
func TestASearchInVainIsMadeTwice(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	quickSearch(s, "ipv4", "300")
	to := netip.AddrPortFrom(s.server.IP.Next().Next(), 80)
	failed := 0
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, a, err := New().Connect(ctx, s.pod.Handle, Request{Address: to, Timeout: 20 * time.Second, Failed: func() { failed++ }})
	s.must(err)
	diagnose.Explain(&a)
	if a.Outcome != fact.OutcomeUnreachable || a.Cause != fact.CauseNeighbourSilent || a.AgainAfterMS == 0 || a.MS < 2*a.AgainAfterMS-100 || failed != 1 {
		t.Errorf("%+v, failed %d times", a, failed)
	}

	// Without the time for another one, the first one stands.
	_, a, err = New().Connect(ctx, s.pod.Handle, Request{Address: to, Timeout: 340 * time.Millisecond})
	s.must(err)
	diagnose.Explain(&a)
	if a.Cause != fact.CauseNeighbourSilent || a.AgainAfterMS != 0 {
		t.Errorf("%+v", a)
	}
}

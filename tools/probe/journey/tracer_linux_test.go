package journey

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// TestTrails makes one fault each and compares the trail of what was sent, the device
// given by its end: "pod eth0", "node veth" ..., and the last step's reason.
func TestTrails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		ipv6  bool
		fault func(t *testing.T, s *scene)
		to    func(s *scene) netip.AddrPort
		proto Proto
		want  []string // each is the beginning of a step in order; others may be between
	}{
		{name: "forward chain", fault: func(t *testing.T, s *scene) { s.firewall(t, s.lab.Node.Netns, lab.Forwarded) },
			want: []string{"queued client eth0 SYN to server", "received node veth SYN to server", "dropped node NETFILTER_DROP to server"}},
		{name: "input chain of the server", fault: func(t *testing.T, s *scene) { s.firewall(t, s.server.Netns, lab.Incoming) },
			want: []string{"queued client eth0 SYN to server", "received server eth0 SYN to server", "dropped server NETFILTER_DROP to server"}},
		{name: "output chain of the client", fault: func(t *testing.T, s *scene) { s.firewall(t, s.client.Netns, lab.Outgoing) },
			want: []string{"dropped client NETFILTER_DROP to server"}},
		{name: "forward chain, by service", to: (*scene).service, fault: func(t *testing.T, s *scene) { s.firewall(t, s.lab.Node.Netns, lab.Forwarded) },
			want: []string{"queued client eth0 SYN to service", "received node veth SYN to service", "dropped node NETFILTER_DROP to server"}},
		{name: "nobody listens", want: []string{"queued client eth0 SYN to server", "received server eth0 SYN to server", "queued server eth0 RST to client", "dropped server NO_SOCKET to server", "received client eth0 RST to client"}},
		{name: "nobody listens, by service", to: (*scene).service, want: []string{"received server eth0 SYN to server", "queued server eth0 RST", "received client eth0 RST to client"}},
		{name: "nobody listens on UDP", proto: UDP, want: []string{"queued client eth0 to server", "received server eth0 to server", "queued server eth0 port-unreachable to client", "received client eth0 port-unreachable to client"}},
		{name: "echo", proto: ICMP, want: echoed},
		{name: "echo of IPv6", ipv6: true, proto: ICMPv6, want: echoed},
		{name: "echo, masqueraded", proto: ICMP, fault: masquerade, to: (*scene).outside,
			want: []string{"queued client eth0 echo-request 34567 to outside", "queued node eth0 echo-request other to outside", "received node eth0 echo-reply other to node", "received client eth0 echo-reply 34567 to client"}},
		{name: "echo of IPv6, masqueraded", ipv6: true, proto: ICMPv6, fault: masquerade, to: (*scene).outside,
			want: []string{"queued client eth0 echo-request 34567 to outside", "queued node eth0 echo-request other to outside", "received node eth0 echo-reply other to node", "received client eth0 echo-reply 34567 to client"}},
		{name: "echo, prohibited", proto: ICMP, fault: func(t *testing.T, s *scene) { s.refuseEchoes(t, "icmp") },
			to: (*scene).outside, want: prohibited},
		{name: "echo of IPv6, prohibited", ipv6: true, proto: ICMPv6, fault: func(t *testing.T, s *scene) { s.refuseEchoes(t, "icmpv6") },
			to: (*scene).outside, want: prohibited},
		{name: "IPv6", ipv6: true, fault: func(t *testing.T, s *scene) { s.firewall(t, s.lab.Node.Netns, lab.Forwarded) },
			want: []string{"queued client eth0 SYN to server", "received node veth SYN to server", "dropped node NETFILTER_DROP to server"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, test.ipv6)
			if test.fault != nil {
				test.fault(t, s)
			}
			to := s.destination()
			if test.to != nil {
				to = test.to(s)
			}
			proto := test.proto
			if proto == 0 {
				proto = TCP
			}
			got := s.describe(s.record(t, proto, to))
			at := 0
			for _, want := range test.want {
				i := slices.IndexFunc(got[at:], func(g string) bool { return strings.HasPrefix(g, want) })
				if i < 0 {
					t.Fatalf("no %q after %d steps of\n%s", want, at, strings.Join(got, "\n"))
				}
				at += i + 1
			}
		})
	}
}

// scene is two pods and a service on one node.
type scene struct {
	lab            *lab.Lab
	client, server *lab.Pod
	serviceIP      netip.Addr
	v6             bool
}

const testPort = 8080

func newScene(t *testing.T, v6 bool) *scene {
	t.Helper()
	lab.Kernel(t, new(Tracer).Check())
	l := lab.Start(t)
	pods := l.Pods(t, lab.PodSpec{IPv6: v6}, lab.PodSpec{IPv6: v6})
	s := &scene{lab: l, client: pods[0], server: pods[1], v6: v6}
	service, err := l.AddService(lab.ServiceSpec{Port: 80, TargetPort: testPort, Backends: []netip.Addr{s.server.IP}})
	if err != nil {
		t.Fatal(err)
	}
	s.serviceIP = service.IP
	return s
}

func (s *scene) addresses() (client, server netip.Addr) {
	if s.v6 {
		return s.client.IP6, s.server.IP6
	}
	return s.client.IP, s.server.IP
}

func (s *scene) destination() netip.AddrPort {
	_, server := s.addresses()
	return netip.AddrPortFrom(server, testPort)
}

func (s *scene) service() netip.AddrPort { return netip.AddrPortFrom(s.serviceIP, 80) }

func (s *scene) firewall(t *testing.T, ns *lab.Netns, hook lab.FirewallHook) {
	t.Helper()
	if err := ns.Firewall(lab.FirewallRule{Hook: hook, Port: testPort}); err != nil {
		t.Fatal(err)
	}
}

// record sends one packet, which is not answered or refused, and returns its trail.
func (s *scene) record(t *testing.T, proto Proto, to netip.AddrPort) fact.Journey {
	t.Helper()
	client, _ := s.addresses()
	if proto == ICMP || proto == ICMPv6 {
		return s.recordEcho(t, proto, to.Addr())
	}
	network, local := "tcp", net.Addr(net.TCPAddrFromAddrPort(netip.AddrPortFrom(client, 34567)))
	if proto == UDP {
		network, local = "udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(client, 34567))
	}
	var tracer Tracer
	recording, err := tracer.Start(Flow{
		Proto: proto, Src: netip.AddrPortFrom(client, 34567), Dst: to, NetnsInode: s.client.Handle.Identity().Inode,
	})
	if err != nil {
		t.Fatal(err)
	}
	// The first SYN makes the trail; half a second is the time to answer.
	dialer := net.Dialer{LocalAddr: local, Timeout: 500 * time.Millisecond, Control: s.client.Handle.Control}
	conn, err := dialer.DialContext(t.Context(), network, to.String())
	if err == nil {
		_, _ = conn.Write([]byte("are you there?"))
		_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.Close()
	}
	journey := recording.Stop()
	if journey.Missed != 0 || tracer.session != nil {
		t.Errorf("%d records missed; still attached: %v", journey.Missed, tracer.session != nil)
	}
	return journey
}

// describe writes steps with the names of this scene.
func (s *scene) describe(j fact.Journey) []string {
	client, server := s.addresses()
	places := map[uint64]string{
		s.client.Handle.Identity().Inode: "client", s.server.Handle.Identity().Inode: "server", s.lab.Node.Handle.Identity().Inode: "node",
	}
	whose := map[string]string{
		client.String(): "client", server.String(): "server", s.serviceIP.String(): "service", s.outside().Addr().String(): "outside",
		s.lab.Node.IP.String(): "node", s.lab.Node.IP6.String(): "node",
	}
	var lines []string
	for _, step := range j.Steps {
		parts := []string{step.What, places[step.NetnsInode]}
		if step.What != fact.StepDropped {
			dev := step.Dev
			if strings.HasPrefix(dev, "veth") {
				dev = "veth"
			}
			parts = append(parts, dev)
		} else {
			parts = append(parts, step.Reason)
		}
		if step.Kind != "" && step.What != fact.StepDropped {
			parts = append(parts, step.Kind)
		}
		switch step.ID {
		case 0:
		case testID:
			parts = append(parts, strconv.Itoa(testID))
		default:
			parts = append(parts, "other")
		}
		dst := step.Dst
		if at, err := netip.ParseAddrPort(dst); err == nil {
			dst = at.Addr().String()
		}
		if name := whose[dst]; name != "" {
			dst = name
		}
		lines = append(lines, strings.Join(append(parts, "to "+dst), " "))
	}
	return lines
}

// TestOthersAreNotCopied: what others send between the same pods, to the same port, is
// not in the ring.
func TestOthersAreNotCopied(t *testing.T) {
	t.Parallel()
	s := newScene(t, false)
	if _, err := s.server.Listen("tcp", fmt.Sprintf(":%d", testPort)); err != nil {
		t.Fatal(err)
	}
	var tracer Tracer
	recording, err := tracer.Start(Flow{
		Proto: TCP, Src: netip.AddrPortFrom(s.client.IP, 34567), Dst: s.destination(), NetnsInode: s.client.Handle.Identity().Inode,
	})
	if err != nil {
		t.Fatal(err)
	}
	dialer := net.Dialer{Timeout: 20 * time.Second, Control: s.client.Handle.Control, LocalAddr: &net.TCPAddr{IP: s.client.IP.AsSlice(), Port: 34568}}
	for _, to := range []netip.AddrPort{s.destination(), s.service()} {
		conn, err := dialer.DialContext(t.Context(), "tcp", to.String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
		dialer.LocalAddr = &net.TCPAddr{IP: s.client.IP.AsSlice(), Port: 34569}
	}
	if j := recording.Stop(); len(j.Steps) != 0 || len(recording.records) != 0 {
		t.Errorf("others' packets: %+v", j.Steps)
	}
}

// TestSameAddressesElsewhere: another network may have the same addresses, with packets
// that are others'.
func TestSameAddressesElsewhere(t *testing.T) {
	t.Parallel()
	s, other := newScene(t, false), newScene(t, false)
	if s.client.IP != other.client.IP || s.destination() != other.destination() {
		t.Fatal("the networks differ")
	}
	var tracer Tracer
	local := netip.AddrPortFrom(s.client.IP, 34567)
	recording, err := tracer.Start(Flow{Proto: TCP, Src: local, Dst: s.destination(), NetnsInode: s.client.Handle.Identity().Inode})
	if err != nil {
		t.Fatal(err)
	}
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(local), Control: other.client.Handle.Control}
	if _, err := dialer.DialContext(t.Context(), "tcp", other.destination().String()); err == nil {
		t.Error("connected to nobody")
	}
	if j := recording.Stop(); len(recording.records) != 0 {
		t.Errorf("others' packets: %+v", j.Steps)
	}
}

// TestShared: many recordings at a time share one attachment, and nothing is left.
func TestShared(t *testing.T) {
	t.Parallel()
	s := newScene(t, false)
	s.firewall(t, s.lab.Node.Netns, lab.Forwarded)
	var tracer Tracer
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			local := netip.AddrPortFrom(s.client.IP, uint16(20000+i))
			recording, err := tracer.Start(Flow{Proto: TCP, Src: local, Dst: s.destination(), NetnsInode: s.client.Handle.Identity().Inode})
			if err != nil {
				t.Error(err)
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(local), Control: s.client.Handle.Control}
			if conn, err := dialer.DialContext(ctx, "tcp", s.destination().String()); err == nil {
				t.Error("connected through a firewall")
				_ = conn.Close()
			}
			if j := recording.Stop(); !slices.ContainsFunc(j.Steps, func(s fact.JourneyStep) bool { return s.Reason == "NETFILTER_DROP" }) {
				t.Errorf("no drop in %+v", j.Steps)
			}
		})
	}
	all.Wait()
	if tracer.session != nil {
		t.Error("still attached")
	}
}

func TestFlowOfTwoFamilies(t *testing.T) {
	t.Parallel()
	var tracer Tracer
	_, err := tracer.Start(Flow{Proto: TCP, Src: netip.MustParseAddrPort("10.0.0.1:1"), Dst: netip.MustParseAddrPort("[fd00::1]:1")})
	if !errors.Is(err, errFlow) {
		t.Errorf("error %v", err)
	}
}

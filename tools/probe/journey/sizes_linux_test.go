package journey

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// start records what the client sends to the server from testID.
func (s *scene) start(t *testing.T, tracer *Tracer, proto Proto) (recording *Recording, from netip.AddrPort) {
	t.Helper()
	client, _ := s.addresses()
	from = netip.AddrPortFrom(client, testID)
	recording, err := tracer.Start(Flow{Proto: proto, Src: from, Dst: s.destination(), NetnsInode: s.client.Handle.Identity().Inode})
	if err != nil {
		t.Fatal(err)
	}
	return recording, from
}

// datagrams is a socket from which datagrams go to the server.
func (s *scene) datagrams(t *testing.T, from netip.AddrPort) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(from), Control: s.client.Handle.Control}
	conn, err := dialer.DialContext(t.Context(), "udp", s.destination().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestFragments: the later ones, which have no ports, belong to the flow of the first.
func TestFragments(t *testing.T) {
	t.Parallel()
	for name, v6 := range map[string]bool{"IPv4": false, "IPv6": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, v6)
			var tracer Tracer
			recording, from := s.start(t, &tracer, UDP)
			conn := s.datagrams(t, from)
			if _, err := conn.Write(make([]byte, 4000)); err != nil {
				t.Fatal(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := conn.Read(make([]byte, 1)); err == nil { // until the whole was refused
				t.Error("answered by nobody")
			}
			header := 20
			if v6 {
				header = 48 // with a fragment header
			}
			payload := map[string]int{}
			for _, step := range recording.Stop().Steps {
				if step.Kind == fact.KindFragment && step.Dev == "eth0" && !step.Back {
					payload[step.What] += step.Bytes - header
				}
			}
			if want := 8 + 4000; payload[fact.StepQueued] != want || payload[fact.StepReceived] != want {
				t.Errorf("fragments with %v bytes, want %d each", payload, want)
			}
		})
	}
}

// TestSizes: a packet has the size that its header says, wherever it is seen; what is
// split later says so.
func TestSizes(t *testing.T) {
	t.Parallel()
	s := newScene(t, false)
	server, err := s.server.ServeConns("0.0.0.0:0", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn); _ = conn.Close() })
	if err != nil {
		t.Fatal(err)
	}
	from := netip.AddrPortFrom(s.client.IP, testID)
	to := netip.AddrPortFrom(s.server.IP, server.Port())
	var tracer Tracer
	recording, err := tracer.Start(Flow{Proto: TCP, Src: from, Dst: to, NetnsInode: s.client.Handle.Identity().Inode})
	if err != nil {
		t.Fatal(err)
	}
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from), Control: s.client.Handle.Control}
	conn, err := dialer.DialContext(t.Context(), "tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, conn) // until the server has everything
	_ = conn.Close()
	syns, large := map[int]int{}, 0
	for _, step := range recording.Stop().Steps {
		switch {
		case step.Kind == "SYN":
			syns[step.Bytes]++
		case step.SegmentBytes == 0 && step.Bytes > 1500:
			t.Errorf("too large for the link: %+v", step)
		case step.SegmentBytes > 0 && step.Bytes > 1500:
			large++
		}
	}
	if syns[60] < 3 || len(syns) != 1 || large == 0 {
		t.Errorf("SYNs by size %v, %d to be split", syns, large)
	}
}

// TestFullRing: what found no room is counted for all that recorded meanwhile.
func TestFullRing(t *testing.T) {
	t.Parallel()
	s := newScene(t, false)
	// An ICMP error would keep the next datagram from being sent.
	if err := s.client.Firewall(lab.FirewallRule{Hook: lab.Incoming, Protocol: "icmp"}); err != nil {
		t.Fatal(err)
	}
	var tracer Tracer
	other, err := tracer.Start(Flow{Proto: TCP, Src: netip.AddrPortFrom(s.client.IP, 1), Dst: s.destination()})
	if err != nil {
		t.Fatal(err)
	}
	recording, from := s.start(t, &tracer, UDP)
	conn := s.datagrams(t, from)
	recording.session.mutex.Lock() // nothing is read
	for range ringBytes / recordSize {
		_, _ = conn.Write([]byte("are you there?"))
	}
	recording.session.mutex.Unlock()
	if recording.Stop().Missed == 0 || other.Stop().Missed == 0 {
		t.Error("nothing was missed")
	}
	if later, _ := s.start(t, &tracer, UDP); later.Stop().Missed != 0 {
		t.Error("missed before it began")
	}
}

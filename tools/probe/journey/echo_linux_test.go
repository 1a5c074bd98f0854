package journey

import (
	"context"
	"crypto/rand"
	"errors"

	"net"
	"net/netip"

	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// testID is the identifier of this test's echoes.
const testID = 34567

var echoed = []string{
	"queued client eth0 echo-request 34567 to server", "received server eth0 echo-request 34567 to server",
	"queued server eth0 echo-reply 34567 to client", "received client eth0 echo-reply 34567 to client",
}

var prohibited = []string{
	"queued client eth0 echo-request 34567 to outside", "received node cni0 echo-request 34567 to outside",
	"queued node cni0 admin-prohibited to client", "received client eth0 admin-prohibited to client",
}

// recordEcho sends an echo request and awaits what comes back to the client.
func (s *scene) recordEcho(t *testing.T, proto Proto, to netip.Addr) fact.Journey {
	t.Helper()
	client, _ := s.addresses()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	network, kind := "ip4:icmp", icmp.Type(ipv4.ICMPTypeEcho)
	if proto == ICMPv6 {
		network, kind = "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest
	}
	listen := net.ListenConfig{Control: s.client.Handle.Control}
	conn, err := listen.ListenPacket(ctx, network, client.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	data := make([]byte, 24)
	_, _ = rand.Read(data)
	message := icmp.Message{Type: kind, Body: &icmp.Echo{ID: testID, Seq: 1, Data: data}}
	raw, err := message.Marshal(nil) // the kernel sums IPv6's up
	if err != nil {
		t.Fatal(err)
	}
	var tracer Tracer
	recording, err := tracer.Start(Flow{
		Proto: proto, Src: netip.AddrPortFrom(client, testID), Dst: netip.AddrPortFrom(to, testID), NetnsInode: s.client.Handle.Identity().Inode,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.WriteTo(raw, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		t.Error(err)
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	for answered := false; !answered; {
		buffer := make([]byte, 1500)
		n, _, err := conn.ReadFrom(buffer)
		if err != nil {
			t.Error(err)
			break
		}
		answer, err := icmp.ParseMessage(int(proto), buffer[:n])
		if err != nil {
			t.Error(err)
			break
		}
		switch answer.Type {
		case ipv4.ICMPTypeEchoReply, ipv4.ICMPTypeDestinationUnreachable, ipv6.ICMPTypeEchoReply, ipv6.ICMPTypeDestinationUnreachable:
			answered = true
		}
	}
	return recording.Stop()
}

// outside is beyond the node.
func (s *scene) outside() netip.AddrPort {
	ip := "172.18.0.1"
	if s.v6 {
		ip = "fd00:172:18::1"
	}
	return netip.AddrPortFrom(netip.MustParseAddr(ip), testPort)
}

// masquerade makes the node translate sources, identifiers and ports to others.
func masquerade(t *testing.T, s *scene) {
	t.Helper()
	s.rule(t, &nftables.Chain{Name: "masquerade", Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource},
		&expr.Masq{Random: true})
}

// refuseEchoes makes the node answer in the server's place.
func (s *scene) refuseEchoes(t *testing.T, protocol string) {
	t.Helper()
	if err := s.lab.Node.Firewall(lab.FirewallRule{Hook: lab.Forwarded, Protocol: protocol, Verdict: lab.Prohibit}); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) rule(t *testing.T, chain *nftables.Chain, exprs ...expr.Any) {
	t.Helper()
	var conn *nftables.Conn
	err := s.lab.Node.Handle.Do(func() (err error) {
		conn, err = nftables.New(nftables.AsLasting())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	chain.Table = conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "test"})
	conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: conn.AddChain(chain), Exprs: exprs})
	if err := errors.Join(conn.Flush(), conn.CloseLasting()); err != nil {
		t.Fatal(err)
	}
}

package lookup

import (
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// TestOwnRedirect: where the target's own NAT sends queries is read from its
// connection tracking.
func TestOwnRedirect(t *testing.T) {
	t.Parallel()
	pod := lab.Start(t).Pod(t, lab.PodSpec{})
	redirectUDP(t, pod.Netns, 15053)
	found := lookUp(t, targetIn(pod, conf("nameserver 10.96.0.10")), Request{Name: "www.example.com"})
	if found.Outcome != "unreachable" || found.Tried[0].Reason != "ECONNREFUSED" || found.Tried[0].SentTo != "127.0.0.1:15053" {
		t.Errorf("%s", show(t, found))
	}
}

// redirectUDP sends the namespace's own datagrams to a port of the namespace itself.
func redirectUDP(t *testing.T, ns *lab.Netns, port uint16) {
	t.Helper()
	err := ns.Handle.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "capture"})
		chain := conn.AddChain(&nftables.Chain{
			Name: "capture", Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest,
		})
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
			&expr.Immediate{Register: 1, Data: binary.BigEndian.AppendUint16(nil, port)},
			&expr.Redir{RegisterProtoMin: 1},
		}})
		return conn.Flush()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAnswerDroppedInside: an answer that the namespace's own rules drop is seen at the
// interface. One that is dropped on the way is not.
func TestAnswerDroppedInside(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		title   string
		at      string // who drops answers
		answers int
	}{
		{"dropped", "pod", 1}, {"dropped on the way", "server", 0},
	} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, IPv6 %v", c.title, v6), func(t *testing.T) {
				t.Parallel()
				l := lab.Start(t)
				pod, server := l.Pod(t, lab.PodSpec{IPv6: v6}), l.Pod(t, lab.PodSpec{IPv6: v6})
				at := server.IP.String()
				if v6 {
					at = server.IP6.String()
				}
				packetServerAt(t, server, at, func(q []byte) [][]byte {
					return [][]byte{answerTo(t, q, nil)}
				})
				drops, hook := pod, lab.Incoming
				if c.at == "server" {
					drops, hook = server, lab.Outgoing
				}
				if err := drops.Firewall(lab.FirewallRule{Hook: hook, Protocol: "udp", Port: 53, Answers: true}); err != nil {
					t.Fatal(err)
				}
				var found *fact.DNSLookup
				for range 20 { // on a busy machine the answer may come too late
					found = lookUp(t, targetIn(pod, conf("nameserver "+at)), Request{Name: "www.example.com", Window: time.Second})
					wire := found.Tried[0].Wire
					if found.Outcome == "timeout" && wire != nil && wire.Answers == c.answers && wire.From == "" && !wire.OtherMAC &&
						len(wire.Counters) == 0 && (wire.Dev == "eth0") == (c.answers > 0) {
						return
					}
				}
				t.Errorf("%s", show(t, found))
			})
		}
	}
}

// TestNoRedirect: without NAT nothing is said about it.
func TestNoRedirect(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	found := lookUp(t, targetIn(pod, conf("nameserver "+server1)), Request{Name: "www.example.com"})
	if found.Tried[0].Reason != "ECONNREFUSED" || found.Tried[0].SentTo != "" || found.Tried[0].AnsweredBy != "" {
		t.Errorf("%s", show(t, found))
	}
}

// TestAnswerFromElsewhere: an answer from another address than was asked is dropped
// by resolvers, and seen all the same.
func TestAnswerFromElsewhere(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	asked, err := pod.ListenPacket("udp", server1+":53")
	if err != nil {
		t.Fatal(err)
	}
	answering, err := pod.ListenPacket("udp", server2+":53")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		buffer := make([]byte, 512)
		for {
			n, from, err := asked.ReadFrom(buffer)
			if err != nil {
				return // closed with the pod
			}
			_, _ = answering.WriteTo(answerTo(t, buffer[:n], nil), from)
		}
	}()
	found := lookUp(t, targetIn(pod, conf("nameserver "+server1)), Request{Name: "www.example.com", Window: 2 * time.Second})
	if found.Outcome != "timeout" || found.Tried[0].AnsweredBy != net.JoinHostPort(server2, "53") {
		t.Errorf("%s", show(t, found))
	}
}

package fetch

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// narrow makes the node's way out carry 1400 bytes and keeps it from saying so,
// which is what makes a black hole of a small MTU.
func (b *bench) narrow(node *lab.Node) {
	b.Helper()
	h, err := node.Handle.Netlink(unix.NETLINK_ROUTE)
	b.must(err)
	defer h.Close()
	link, err := h.LinkByName("eth0")
	b.must(err)
	b.must(h.LinkSetMTU(link, 1400))
	b.dropOutgoing(node.Netns, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_ICMP}},
	})
}

// dropOutgoing drops what a namespace itself sends and match selects.
func (b *bench) dropOutgoing(n *lab.Netns, match []expr.Any) {
	b.Helper()
	b.rule(n, nftables.ChainHookOutput, append(match, &expr.Verdict{Kind: expr.VerdictDrop})...)
}

// rule adds a chain with one rule to a namespace.
func (b *bench) rule(n *lab.Netns, hook *nftables.ChainHook, rule ...expr.Any) {
	b.Helper()
	var conn *nftables.Conn
	b.must(n.Handle.Do(func() (err error) {
		conn, err = nftables.New(nftables.AsLasting())
		return err
	}))
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "fault"})
	chain := conn.AddChain(&nftables.Chain{Name: "fault", Table: table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityFilter})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule})
	b.must(errors.Join(conn.Flush(), conn.CloseLasting()))
}

func TestPathThatCarriesSmallPacketsOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	far, err := b.lab.AddNode()
	b.must(err)
	b.server = b.lab.Pod(t, lab.PodSpec{Name: "far", Node: far})
	large := b.serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 20000)) })
	secure := b.secure(&tls.Config{}, func(http.ResponseWriter, *http.Request) {})
	medium := b.serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 2000)) })
	small := b.serve(func(http.ResponseWriter, *http.Request) {})
	b.expect(b.get("http://"+large), fact.OutcomeOK, fact.StageDone)

	b.narrow(b.lab.Node)
	b.run("on the way there", func(b *bench) {
		b.expect(b.get("http://"+small), fact.OutcomeOK, fact.StageDone)
		// The first message of a handshake with a post-quantum key is larger than
		// one packet.
		f := b.fetchWithin(Request{URL: "https://" + secure}, hang)
		b.expect(f, fact.OutcomeTimeout, fact.StageTLS)
		b.expect(b.fetch(Request{URL: "https://" + secure, MSS: 536}), fact.OutcomeOK, fact.StageDone)
		if f.Conn == nil || f.Conn.Unacked == 0 || f.Conn.Retransmits == 0 || !strings.Contains(f.Reason, "never confirmed") {
			b.Errorf("%s %+v", f.Reason, f.Conn)
		}
	})
	b.narrow(far)
	b.run("on the way back", func(b *bench) {
		b.together(map[string]func(b *bench){
			"large": func(b *bench) {
				b.expect(b.fetchWithin(Request{URL: "http://" + large}, hang), fact.OutcomeTimeout, fact.StageResponse)
				b.expect(b.fetch(Request{URL: "http://" + large, MSS: 536}), fact.OutcomeOK, fact.StageDone)
			},
			"medium": func(b *bench) {
				f := b.fetchWithin(Request{URL: "http://" + medium}, hang)
				b.expect(f, fact.OutcomeTimeout, fact.StageResponse)
				if f.Conn == nil || f.Conn.OutOfOrder == 0 || !strings.Contains(f.Reason, "lost on the way back") {
					b.Errorf("%s %+v", f.Reason, f.Conn)
				}
			},
		})
	})
}

// TestEstablishedConnectionThatIsCut: the handshake passes, and then nothing.
func TestEstablishedConnectionThatIsCut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	accepted := make(chan struct{})
	at := b.raw(func(conn net.Conn) {
		close(accepted)
		_, _ = io.Copy(io.Discard, conn)
	})
	// A segment with data is longer than one without: 52 bytes with timestamps.
	b.dropOutgoing(b.pod.Netns, []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpGt, Register: 1, Data: []byte{0, 80}},
	})
	f := b.fetchWithin(Request{URL: "http://" + at}, hang)
	<-accepted
	b.expect(f, fact.OutcomeTimeout, fact.StageResponse)
	if f.Conn == nil || f.Conn.NotSent == 0 || !strings.Contains(f.Reason, "firewall") {
		t.Errorf("%s %+v", f.Reason, f.Conn)
	}
}

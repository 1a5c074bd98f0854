package fetch

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// TestECN: SYNs that ask for ECN are dropped or reset, those that do not are
// answered.
func TestECN(t *testing.T) {
	t.Parallel()
	const ecnTries, flagSYN, flagECE = 3, 0x02, 0x40
	drop := &expr.Verdict{Kind: expr.VerdictDrop}
	reset := &expr.Reject{Type: unix.NFT_REJECT_TCP_RST}
	for _, c := range []struct {
		name    string
		sysctl  string
		flags   byte // of the SYNs that meet the verdict
		verdict expr.Any
		v6      bool
		outcome fact.Outcome
		want    *fact.ECN
	}{
		{"dropped", "1", flagSYN | flagECE, drop, false, fact.OutcomeOK, &fact.ECN{Sent: ecnTries, Answered: ecnTries}},
		{"reset", "1", flagSYN | flagECE, reset, false, fact.OutcomeRefused, &fact.ECN{Sent: ecnTries, Answered: ecnTries, ResetECN: ecnTries}},
		{"reset, IPv6", "1", flagSYN | flagECE, reset, true, fact.OutcomeRefused, &fact.ECN{Sent: ecnTries, Answered: ecnTries, ResetECN: ecnTries}},
		{"reset, whatever they ask for", "1", flagSYN, reset, false, fact.OutcomeRefused, &fact.ECN{Sent: ecnTries, ResetECN: ecnTries}},
		{"not asked for", "2", flagSYN, reset, false, fact.OutcomeRefused, nil},
		{"nothing wrong", "1", 0, nil, false, fact.OutcomeOK, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.must(b.pod.SetSysctl("net/ipv4/tcp_ecn", c.sysctl))
			listens, err := b.server.Serve(":0", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			b.must(err)
			at := netip.AddrPortFrom(b.server.IP, listens.Port())
			if c.v6 {
				at = netip.AddrPortFrom(b.server.IP6, listens.Port())
				b.awaitIPv6(b.pod)
				b.awaitIPv6(b.server)
			}
			if c.verdict != nil {
				const offset = 13 // of the flags in the header of TCP
				b.rule(b.server.Netns, nftables.ChainHookInput,
					&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
					&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
					&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 1},
					&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{c.flags}, Xor: []byte{0}},
					&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{c.flags}},
					c.verdict,
				)
			}
			f := b.get("http://" + at.String())
			if f.Outcome != c.outcome {
				t.Errorf("%s: %s", f.Outcome, f.Reason)
			}
			if c.want != nil {
				c.want.Address = at.String()
			}
			if got, want := f.ECN, c.want; (got == nil) != (want == nil) || got != nil && *got != *want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// awaitIPv6 waits until the address of a pod can be bound to: without duplicate
// address detection the kernel makes it usable soon, from a work queue.
func (b *bench) awaitIPv6(p *lab.Pod) {
	b.Helper()
	for b.Context().Err() == nil {
		listener, err := p.Listen("tcp", netip.AddrPortFrom(p.IP6, 0).String())
		if err == nil {
			b.must(listener.Close())
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

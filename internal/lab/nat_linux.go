package lab

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// setServices makes the node translate the service addresses, as kube-proxy
// does with its own rules: a table "services" per address family, written anew
// in one transaction.
func (n *Node) setServices(list []ServiceSpec) error {
	if len(list) == 0 {
		return nil
	}
	conn, err := n.nftables()
	if err != nil {
		return err
	}
	p4, p6 := n.PodPrefixes(Bridge)
	(&natTable{conn: conn, family: ipv4(), pods: p4}).write(list)
	(&natTable{conn: conn, family: ipv6(), pods: p6}).write(list)
	return errors.Join(conn.Flush(), conn.CloseLasting())
}

// family is where the parts of a header lie and what numbers it uses.
type family struct {
	table       nftables.TableFamily
	nat         uint32 // NFPROTO_ of a NAT expression
	source      uint32 // offset of the source address in the network header
	destination uint32
	length      uint32 // of an address
	unreachable uint8  // ICMP code "port unreachable"
}

func ipv4() family { return family{nftables.TableFamilyIPv4, unix.NFPROTO_IPV4, 12, 16, 4, 3} }

func ipv6() family { return family{nftables.TableFamilyIPv6, unix.NFPROTO_IPV6, 8, 24, 16, 4} }

// natTable writes the table of one family.
type natTable struct {
	conn *nftables.Conn
	family
	pods  netip.Prefix // on the bridge
	table *nftables.Table
}

func (t *natTable) write(list []ServiceSpec) {
	t.table = t.conn.AddTable(&nftables.Table{Family: t.family.table, Name: "services"})
	t.conn.FlushTable(t.table)
	translate, refuse := t.chain("translate"), t.chain("refuse")
	pre := t.hook("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	out := t.hook("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	post := t.hook("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	forward := t.hook("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	local := t.hook("local", nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityFilter)
	t.jump(translate, pre, out)
	t.jump(refuse, forward, local)

	for _, s := range list {
		if s.IP.Is4() != (t.nat == unix.NFPROTO_IPV4) {
			continue
		}
		if len(s.Backends) == 0 {
			t.rule(refuse, t.to(s), t.reject())
		}
		for i, backend := range s.Backends {
			t.rule(translate, t.to(s), chance(len(s.Backends)-i), t.dnat(backend, s.TargetPort))
			// A pod that reached itself would answer itself, not the service.
			self, verdict := netip.PrefixFrom(backend, backend.BitLen()), masquerade()
			if s.Unmasked {
				verdict = []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
			}
			t.rule(post, t.between(self), translated(), verdict)
		}
	}
	// The same between two pods of one bridge: their answers would not pass the
	// node's network layer (kube-proxy needs br_netfilter for this).
	t.rule(post, t.between(t.pods), translated(), masquerade())
}

func (t *natTable) chain(name string) *nftables.Chain {
	return t.conn.AddChain(&nftables.Chain{Name: name, Table: t.table})
}

func (t *natTable) hook(name string, kind nftables.ChainType, at *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
	return t.conn.AddChain(&nftables.Chain{Name: name, Table: t.table, Type: kind, Hooknum: at, Priority: priority})
}

func (t *natTable) jump(to *nftables.Chain, from ...*nftables.Chain) {
	for _, c := range from {
		t.rule(c, []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: to.Name}})
	}
}

func (t *natTable) rule(chain *nftables.Chain, parts ...[]expr.Any) {
	t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: slices.Concat(parts...)})
}

// to matches packets to the service's address and port.
func (t *natTable) to(s ServiceSpec) []expr.Any {
	protocol := byte(unix.IPPROTO_TCP)
	if s.Protocol == "udp" {
		protocol = unix.IPPROTO_UDP
	}
	const destinationPort = 2 // offset in TCP's and UDP's header
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: t.destination, Len: t.length},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: s.IP.AsSlice()},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: destinationPort, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: port(s.Port)},
	}
}

// chance matches one of n connections; the last one left always matches.
func chance(n int) []expr.Any {
	if n == 1 {
		return nil
	}
	return []expr.Any{
		&expr.Numgen{Register: 1, Modulus: uint32(n), Type: unix.NFT_NG_RANDOM},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 4)},
	}
}

func (t *natTable) dnat(to netip.Addr, toPort uint16) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: to.AsSlice()},
		&expr.Immediate{Register: 2, Data: port(toPort)},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: t.nat, RegAddrMin: 1, RegProtoMin: 2},
	}
}

func (t *natTable) reject() []expr.Any {
	return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: t.unreachable}}
}

func masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }

// between matches packets whose source and destination are in a prefix.
func (t *natTable) between(p netip.Prefix) []expr.Any {
	mask := ipNet(p).Mask
	var match []expr.Any
	for _, offset := range []uint32{t.source, t.destination} {
		match = append(match,
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: t.length},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: t.length, Mask: mask, Xor: make([]byte, t.length)},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Addr().AsSlice()},
		)
	}
	return match
}

// translated matches connections whose destination was changed.
func translated() []expr.Any {
	const ipsDstNAT = 1 << 5 // IPS_DST_NAT of nf_conntrack_common.h
	mask := binary.NativeEndian.AppendUint32(nil, ipsDstNAT)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATUS, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

func port(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }

package lab

import (
	"errors"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// FirewallRule treats the packets of one port, at one point of a namespace.
type FirewallRule struct {
	Hook     FirewallHook
	Protocol string // "tcp" (default), "udp", "icmp" or "icmpv6"
	Port     uint16 // destination; 0 for all
	Answers  bool   // what comes from the port, not what goes there
	Flags    uint8  // of TCP, one of which is set; 0 for all
	Every    uint32 // one packet in so many; 0 for all
	Verdict  FirewallVerdict
}

// FirewallVerdict is what becomes of the packets.
type FirewallVerdict int

// The verdicts that the lab uses. The answers by ICMP are for both families.
const (
	Drop     FirewallVerdict = iota
	Prohibit                 // answer ICMP "administratively prohibited"
	Refuse                   // answer ICMP "port unreachable"
	Reset                    // answer RST, TCP only
)

func (v FirewallVerdict) expression() expr.Any {
	switch v {
	case Prohibit:
		return &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: 3} // NFT_REJECT_ICMPX_ADMIN_PROHIBITED
	case Refuse:
		return &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: 1} // NFT_REJECT_ICMPX_PORT_UNREACH
	case Reset:
		return &expr.Reject{Type: unix.NFT_REJECT_TCP_RST}
	}
	return &expr.Verdict{Kind: expr.VerdictDrop}
}

// FirewallHook is where packets meet a rule.
type FirewallHook int

// The hooks that the lab uses.
const (
	Outgoing  FirewallHook = iota // what the namespace sends
	Incoming                      // what is for the namespace itself
	Forwarded                     // what passes through it
)

// chain is the hook's chain in nftables.
func (h FirewallHook) chain() (string, *nftables.ChainHook) {
	switch h {
	case Incoming:
		return "input", nftables.ChainHookInput
	case Forwarded:
		return "forward", nftables.ChainHookForward
	}
	return "output", nftables.ChainHookOutput
}

// Firewall adds a rule to the namespace, for IPv4 and IPv6. It stays until the
// namespace's end.
func (n *Netns) Firewall(r FirewallRule) error {
	conn, err := n.nftables()
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "fault"})
	name, hook := r.Hook.chain()
	chain := conn.AddChain(&nftables.Chain{
		Name: name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityFilter,
	})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: r.expressions()})
	return errors.Join(conn.Flush(), conn.CloseLasting())
}

func (r FirewallRule) expressions() []expr.Any {
	protocol := byte(unix.IPPROTO_TCP)
	switch r.Protocol {
	case "udp":
		protocol = unix.IPPROTO_UDP
	case "icmp":
		protocol = unix.IPPROTO_ICMP
	case "icmpv6":
		protocol = unix.IPPROTO_ICMPV6
	}
	rule := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
	}
	if r.Port != 0 {
		offset := uint32(2) // of the destination in TCP's and UDP's header
		if r.Answers {
			offset = 0
		}
		rule = append(rule,
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: port(r.Port)})
	}
	if r.Flags != 0 {
		const flags = 13 // offset in TCP's header
		rule = append(rule,
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flags, Len: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{r.Flags}, Xor: []byte{0}},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0}})
	}
	if r.Every != 0 {
		rule = append(rule,
			&expr.Numgen{Register: 1, Modulus: r.Every, Type: unix.NFT_NG_INCREMENTAL},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 4)})
	}
	return append(rule, &expr.Counter{}, r.Verdict.expression())
}

// nftables opens a connection to the packet filter of the namespace. Its socket
// is made here; the library's own WithNetNSFd leaves a thread behind when it
// cannot bring it home.
func (n *Netns) nftables() (conn *nftables.Conn, err error) {
	err = n.Handle.Do(func() (err error) {
		conn, err = nftables.New(nftables.AsLasting())
		return err
	})
	return conn, err
}

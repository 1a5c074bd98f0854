package lab

import (
	"encoding/binary"
	"errors"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// FirewallRule treats the packets to one port, at one point of a namespace.
type FirewallRule struct {
	Hook     FirewallHook
	Protocol string // "tcp" (default) or "udp"
	Port     uint16 // destination
	Answers  bool   // what comes from the port, not what goes there
	Reject   bool   // answer "administratively prohibited"; else drop
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
	if r.Protocol == "udp" {
		protocol = unix.IPPROTO_UDP
	}
	port := uint32(2) // offset of the destination in TCP's and UDP's header
	if r.Answers {
		port = 0
	}
	const adminProhibited = uint8(3) // NFT_REJECT_ICMPX_ADMIN_PROHIBITED, for both families
	verdict := expr.Any(&expr.Verdict{Kind: expr.VerdictDrop})
	if r.Reject {
		verdict = &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: adminProhibited}
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: port, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, r.Port)},
		&expr.Counter{},
		verdict,
	}
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

package attempt

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

// verdicts of a rule.
func drop() expr.Any { return &expr.Verdict{Kind: expr.VerdictDrop} }

func rejectReset() expr.Any { return &expr.Reject{Type: unix.NFT_REJECT_TCP_RST} }

// rejectICMP answers with a code that is translated for IPv4 and IPv6:
// NFT_REJECT_ICMPX_PORT_UNREACH (1), ..._HOST_UNREACH (2), ..._ADMIN_PROHIBITED (3).
func rejectICMP(code uint8) expr.Any {
	return &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: code}
}

// portIs matches TCP segments by their source (offset 0) or destination port
// (offset 2).
func portIs(offset uint32, port uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, port)},
	}
}

// firewall adds a chain with one rule to a namespace, and returns what removes
// it.
func firewall(t testing.TB, n *lab.Netns, hook *nftables.ChainHook, match []expr.Any, verdict ...expr.Any) (remove func()) {
	t.Helper()
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: "fault"}
	change(t, n, func(conn *nftables.Conn) {
		chain := &nftables.Chain{
			Name: "fault", Table: conn.AddTable(table), Type: nftables.ChainTypeFilter,
			Hooknum: hook, Priority: nftables.ChainPriorityFilter,
		}
		conn.AddRule(&nftables.Rule{Table: table, Chain: conn.AddChain(chain), Exprs: append(match, verdict...)})
	})
	return func() { change(t, n, func(conn *nftables.Conn) { conn.DelTable(table) }) }
}

// redirect makes the namespace's own connections to port from end at port to
// of the namespace itself, as a service mesh does.
func redirect(t testing.TB, n *lab.Netns, from, to uint16) {
	t.Helper()
	change(t, n, func(conn *nftables.Conn) {
		table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "mesh"})
		chain := conn.AddChain(&nftables.Chain{
			Name: "mesh", Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest,
		})
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(portIs(2, from),
			&expr.Immediate{Register: 1, Data: binary.BigEndian.AppendUint16(nil, to)},
			&expr.Redir{RegisterProtoMin: 1})})
	})
}

// change applies a transaction in a namespace.
func change(t testing.TB, n *lab.Netns, fn func(*nftables.Conn)) {
	t.Helper()
	var conn *nftables.Conn
	err := n.Handle.Do(func() (err error) {
		conn, err = nftables.New(nftables.AsLasting())
		return err
	})
	if err != nil {
		t.Error(err)
		return
	}
	fn(conn)
	if err := errors.Join(conn.Flush(), conn.CloseLasting()); err != nil {
		t.Error(err)
	}
}

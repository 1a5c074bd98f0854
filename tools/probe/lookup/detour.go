package lookup

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"nsenter-mcp/tools/probe/conntrack"
)

// strangerTime is how long an answer from another address is waited for.
const strangerTime = 400 * time.Millisecond

// findDetours looks for what became of the queries of servers from which no answer
// came: where the target's own NAT sent them, and whether something else answered.
func (l *run) findDetours(ctx context.Context, a *asker) {
	var wg sync.WaitGroup
	for _, server := range l.readers[0].conf.Servers {
		var first *Exchange
		heard := false
		for _, x := range l.seen {
			if x.Server != server || len(x.Datagrams) == 0 {
				continue
			}
			for _, r := range x.Datagrams {
				heard = heard || r.OK()
			}
			if first == nil || x.Datagrams[0].State == PortClosed {
				first = x
			}
		}
		if heard || first == nil {
			continue
		}
		wg.Go(func() {
			if entry, err := conntrack.Get(ctx, l.Handle, conntrack.UDP, first.Local, server); err == nil {
				first.SentTo = entry.Rewritten(server)
			}
			if first.Datagrams[0].State == Silent {
				first.AnsweredBy = a.stranger(ctx, l.dialer, first)
			}
		})
	}
	wg.Wait()
}

// stranger asks once more from a socket that is not connected, and returns the
// address from which the answer came if that is not the server's; not valid where
// none came. The kernel hands a connected socket nothing from other addresses
// (udp_v4_rcv and inet_lookup of the kernel), and musl compares them itself.
func (a *asker) stranger(ctx context.Context, d *dialer, x *Exchange) (from netip.AddrPort) {
	network := "udp4"
	if x.Server.Addr().Is6() {
		network = "udp6"
	}
	listen := d.Handle.ListenConfig()
	inside := listen.Control
	listen.Control = func(network, address string, c syscall.RawConn) error {
		if err := d.check(x.Server); err != nil {
			return err
		}
		return inside(network, address, c)
	}
	id, query, err := newQuery(x.Name, x.Types[0], a.edns, a.trustAD)
	if err != nil {
		return from
	}
	conn, err := listen.ListenPacket(ctx, network, ":0")
	if err != nil {
		return from
	}
	defer func() { _ = conn.Close() }() // a datagram socket has nothing left to tell
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) })
	defer stop()
	to, err := net.ResolveUDPAddr(network, d.literal(x.Server)) // a literal: nothing is looked up
	if err != nil {
		return from
	}
	until := time.Now().Add(strangerTime)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < 2*strangerTime {
		until = time.Now().Add(time.Until(deadline) / 2) // the rest is for wording the answer
	}
	_ = conn.SetDeadline(until) // fails on a closed one only
	if _, err := conn.WriteTo(query, to); err != nil || ctx.Err() != nil {
		return from
	}
	buffer := make([]byte, 4096)
	for {
		n, sender, err := conn.ReadFrom(buffer)
		if err != nil {
			return from
		}
		if readAnswer(buffer[:n], id, x.Name, x.Types[0]) == nil {
			continue
		}
		if udp, ok := sender.(*net.UDPAddr); ok {
			if from = udp.AddrPort(); netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) != netip.AddrPortFrom(x.Server.Addr().Unmap(), x.Server.Port()) {
				return from
			}
		}
		return netip.AddrPort{} // the server itself, late
	}
}

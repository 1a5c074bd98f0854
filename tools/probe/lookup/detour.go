package lookup

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/conntrack"
	"nsenter-mcp/tools/probe/journey"
)

// strangerTime is how long an answer from another address is waited for.
const strangerTime = time.Second

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
				a.askBeside(ctx, l.dialer, first)
			}
		})
	}
	wg.Wait()
}

// askBeside asks once more from a socket that is not connected, for what a connected one
// does not show: an answer from another address (the kernel hands a connected socket
// nothing from others, and musl compares them itself), and answers that come to an
// interface and not up to the socket.
func (a *asker) askBeside(ctx context.Context, d *dialer, x *Exchange) {
	network := "udp4"
	if x.Server.Addr().Is6() {
		network = "udp6"
	}
	listen := d.Handle.ListenConfig()
	listen.Control = d.control(x.Server, listen.Control)
	id, query, err := newQuery(x.Name, x.Types[0], a.edns, a.trustAD)
	if err != nil {
		return
	}
	conn, err := listen.ListenPacket(ctx, network, ":0")
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }() // a datagram socket has nothing left to tell
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) })
	defer stop()
	to, err := net.ResolveUDPAddr(network, d.literal(x.Server)) // a literal: nothing is looked up
	if err != nil {
		return
	}
	isAnswer := func(packet []byte) bool { return readAnswer(packet, id, x.Name, x.Types[0]) != nil }
	asked, heard := false, false
	trail := d.trace(conn.LocalAddr(), x)
	defer func() {
		if went := trail(); asked && !heard {
			x.Journey = went
		}
	}()
	wire := watchPort(ctx, d.Handle, network == "udp6", conn.LocalAddr())
	defer wire.close(ctx)
	wait := strangerTime
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)/3) // the rest is for wording the answer
	}
	wake := func() bool { _ = conn.SetDeadline(time.Now().Add(wait)); return ctx.Err() == nil } // fails on a closed one only
	if !wake() {
		return
	}
	asked = true // one that the target's own filter refuses has a trail too
	if _, err := conn.WriteTo(query, to); err != nil {
		return
	}
	server := netip.AddrPortFrom(x.Server.Addr().Unmap().WithZone(""), x.Server.Port())
	var from netip.AddrPort
	if from, heard = answerFrom(conn, isAnswer); !heard {
		seen := wire.seen(isAnswer)
		if !wake() {
			return
		}
		if len(seen) > 0 { // one that had only just come is on its way up
			from, heard = answerFrom(conn, isAnswer)
		}
		if !heard {
			x.Wire = wire.report(seen)
		}
		if x.Wire != nil && len(seen) > 0 && seen[0].from != server && seen[0].from != x.SentTo {
			x.Wire.From = seen[0].from.String()
		}
	}
	if heard && from != server {
		x.AnsweredBy = from
	}
}

// trace records the journey of a datagram to the server of x until stop is called.
func (d *dialer) trace(local net.Addr, x *Exchange) (stop func() *fact.Journey) {
	udp, ok := local.(*net.UDPAddr)
	if !ok || !x.Local.IsValid() {
		return func() *fact.Journey { return nil }
	}
	return d.Tracer.Follow(journey.Flow{
		Proto: journey.UDP, NetnsInode: d.Handle.Identity().Inode,
		Src: netip.AddrPortFrom(x.Local.Addr().Unmap().WithZone(""), udp.AddrPort().Port()),
		Dst: netip.AddrPortFrom(x.Server.Addr().Unmap().WithZone(""), x.Server.Port()),
	})
}

// answerFrom waits for an answer and returns who sent it; false where none comes until
// the socket's deadline.
func answerFrom(conn net.PacketConn, isAnswer func([]byte) bool) (netip.AddrPort, bool) {
	buffer := make([]byte, 4096)
	for {
		n, sender, err := conn.ReadFrom(buffer)
		if err != nil {
			return netip.AddrPort{}, false
		}
		if udp, ok := sender.(*net.UDPAddr); ok && isAnswer(buffer[:n]) {
			from := udp.AddrPort()
			return netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port()), true
		}
	}
}

// arrival is an answer at an interface, before the packet filter.
type arrival struct {
	from     netip.AddrPort
	dev      string
	otherMAC bool // in a frame for another MAC address
}

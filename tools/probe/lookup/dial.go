package lookup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/probe/journey"
)

// Network is where queries start.
type Network struct {
	Handle *nsexec.Handle
	// Allow is asked, for every connection and with the literal address, whether
	// it may be made. own says that the target's own resolv.conf names the server, on
	// port 53. Nil allows everything.
	Allow func(to netip.AddrPort, own bool) error
	// Tracer records where a question without an answer goes; nil for none.
	Tracer *journey.Tracer
}

// dialer makes connected sockets in the namespace.
type dialer struct {
	Network
	own map[netip.AddrPort]bool // the target's own servers
	// zones are the indices of interfaces by name, as the target numbers them.
	zones map[string]int
}

func newDialer(n Network, own, servers []netip.AddrPort) (*dialer, error) {
	d := &dialer{Network: n, own: make(map[netip.AddrPort]bool), zones: make(map[string]int)}
	for _, s := range own {
		d.own[s] = s.Port() == dnsPort
	}
	for _, s := range servers {
		if err := d.learnZone(s.Addr().Zone()); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// learnZone asks the target for the index of an interface. A zone that names no
// interface stays unknown: glibc then uses the address without one.
func (d *dialer) learnZone(zone string) error {
	if zone == "" || isNumber(zone) {
		return nil
	}
	index, err := d.Handle.InterfaceIndex(zone)
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EINVAL) { // EINVAL: too long for a name
		return nil
	}
	if err != nil {
		return fmt.Errorf("interface %q: %w", zone, err)
	}
	d.zones[zone] = index
	return nil
}

// check asks the policy about a server.
func (d *dialer) check(server netip.AddrPort) error {
	if d.Allow == nil {
		return nil
	}
	return d.Allow(netip.AddrPortFrom(server.Addr().Unmap(), server.Port()), d.own[server])
}

// dial connects to a server; network is "udp" or "tcp".
func (d *dialer) dial(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) {
	base := d.Handle.Dialer()
	inside := d.control(server, base.Control)
	base.Control = func(network, address string, c syscall.RawConn) error {
		if err := inside(network, address, c); err != nil {
			return err
		}
		return reportICMP(network, c)
	}
	return base.DialContext(ctx, network, d.literal(server))
}

// control is the hook for a socket to the server, around the one that puts it inside.
func (d *dialer) control(server netip.AddrPort, inside hook) hook {
	return func(network, address string, c syscall.RawConn) error {
		// In the hook, as nothing lies between it and connect(2).
		if err := d.check(server); err != nil {
			return err
		}
		if err := inside(network, address, c); err != nil {
			return err
		}
		return refuseBroadcast(c)
	}
}

// hook is that of [net.Dialer] and [net.ListenConfig].
type hook = func(network, address string, c syscall.RawConn) error

// literal writes a server with the number of its zone: package net would look
// up a name on the host, and remember it for a minute.
func (d *dialer) literal(server netip.AddrPort) string {
	ip := server.Addr()
	if zone := ip.Zone(); zone != "" && !isNumber(zone) {
		number := ""
		if index, known := d.zones[zone]; known {
			number = strconv.Itoa(index)
		}
		ip = ip.WithZone(number)
	}
	return netip.AddrPortFrom(ip, server.Port()).String()
}

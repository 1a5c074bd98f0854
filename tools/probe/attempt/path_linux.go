package attempt

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
)

// path is how the kernel gets to an address now.
type path struct {
	route *fact.AttemptRoute
	neigh *fact.AttemptNeigh // nil where the next hop needs no link-layer address
	hop   nextHop            // likewise
}

// nextHop is whom packets are handed to.
type nextHop struct {
	addr, src netip.Addr
	index     int // of the interface
	mac       net.HardwareAddr
}

// measurePath asks the namespace's kernel. zone is the index of the interface
// for a link-local address, 0 otherwise.
func measurePath(handle *netlink.Handle, to netip.Addr, zone int) (path, error) {
	routes, err := handle.RouteGetWithOptions(to.AsSlice(), &netlink.RouteGetOptions{OifIndex: zone})
	if kind := refusedRoute(err); kind != "" {
		return path{route: &fact.AttemptRoute{Type: kind}}, nil
	}
	if err != nil {
		return path{}, fmt.Errorf("route to %s: %w", to, err)
	}
	if len(routes) != 1 {
		return path{}, fmt.Errorf("route to %s: %d answers", to, len(routes))
	}
	return follow(handle, &routes[0], to)
}

// isOwn reports whether ip is an address of the namespace itself.
func isOwn(handle *netlink.Handle, ip netip.Addr) bool {
	routes, err := handle.RouteGet(ip.AsSlice())
	return err == nil && len(routes) == 1 && routes[0].Type == unix.RTN_LOCAL
}

// refusedRoute names the kind of route that makes the kernel answer err: it
// reports the error that connect(2) would get, not the route (fib_props in
// net/ipv4/fib_semantics.c). "" is no such answer.
func refusedRoute(err error) string {
	switch {
	case errors.Is(err, unix.ENETUNREACH):
		return routeNone
	case errors.Is(err, unix.EINVAL):
		return routeBlackhole
	case errors.Is(err, unix.EHOSTUNREACH):
		return routeUnreachable
	case errors.Is(err, unix.EACCES):
		return routeProhibit
	}
	return ""
}

func follow(handle *netlink.Handle, r *netlink.Route, to netip.Addr) (path, error) {
	route := &fact.AttemptRoute{Type: routeType(r.Type)}
	if r.Table != unix.RT_TABLE_MAIN && r.Table != unix.RT_TABLE_LOCAL {
		route.Table = r.Table
	}
	if src, ok := netip.AddrFromSlice(r.Src); ok {
		route.PrefSrc = src.Unmap().String()
	}
	next := to
	if gateway, ok := gatewayOf(r); ok {
		next = gateway
		route.Gateway = gateway.String()
	}
	link, err := handle.LinkByIndex(r.LinkIndex)
	if err != nil {
		return path{}, fmt.Errorf("interface %d: %w", r.LinkIndex, err)
	}
	attrs := link.Attrs()
	route.Dev = printable(attrs.Name)
	if attrs.OperState != netlink.OperUp && attrs.OperState != netlink.OperUnknown {
		route.OperState = strings.ToUpper(attrs.OperState.String())
	}
	if attrs.RawFlags&unix.IFF_UP == 0 {
		route.OperState = "DOWN"
	}
	if route.Type == routeLocal || attrs.RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) != 0 {
		return path{route: route}, nil
	}
	src, _ := netip.AddrFromSlice(r.Src)
	neigh, err := neighbour(handle, r.LinkIndex, next)
	return path{
		route: route, neigh: neigh,
		hop: nextHop{addr: next, src: src.Unmap(), index: r.LinkIndex, mac: attrs.HardwareAddr},
	}, err
}

func gatewayOf(r *netlink.Route) (netip.Addr, bool) {
	ip := r.Gw
	if via, ok := r.Via.(*netlink.Via); ok && len(ip) == 0 {
		ip = via.Addr // IPv4 routed over an IPv6 next hop (RTA_VIA)
	}
	gateway, ok := netip.AddrFromSlice(ip)
	gateway = gateway.Unmap()
	return gateway, ok && !gateway.IsUnspecified()
}

func neighbour(handle *netlink.Handle, index int, next netip.Addr) (*fact.AttemptNeigh, error) {
	family := unix.AF_INET
	if next.Is6() {
		family = unix.AF_INET6
	}
	neighbours, err := handle.NeighList(index, family)
	if err != nil {
		return nil, fmt.Errorf("neighbours: %w", err)
	}
	found := &fact.AttemptNeigh{Dst: next.String(), State: "NONE"}
	for i := range neighbours {
		if n := &neighbours[i]; n.IP.Equal(net.IP(next.AsSlice())) {
			found.State = neighState(n.State)
			found.Lladdr = n.HardwareAddr.String()
		}
	}
	return found, nil
}

// neighState names a NUD state (linux/neighbour.h).
func neighState(state int) string {
	for _, s := range [...]struct {
		bit  int
		name string
	}{
		{unix.NUD_INCOMPLETE, "INCOMPLETE"}, {unix.NUD_REACHABLE, "REACHABLE"}, {unix.NUD_STALE, "STALE"},
		{unix.NUD_DELAY, "DELAY"}, {unix.NUD_PROBE, "PROBE"}, {unix.NUD_FAILED, "FAILED"},
		{unix.NUD_NOARP, "NOARP"}, {unix.NUD_PERMANENT, "PERMANENT"},
	} {
		if state&s.bit != 0 {
			return s.name
		}
	}
	return "NONE"
}

// routeType names a route type (linux/rtnetlink.h).
func routeType(kind int) string {
	switch kind {
	case unix.RTN_UNICAST:
		return "unicast"
	case unix.RTN_LOCAL:
		return routeLocal
	case unix.RTN_BROADCAST:
		return "broadcast"
	case unix.RTN_MULTICAST:
		return "multicast"
	case unix.RTN_BLACKHOLE:
		return routeBlackhole
	case unix.RTN_UNREACHABLE:
		return routeUnreachable
	case unix.RTN_PROHIBIT:
		return routeProhibit
	}
	return fmt.Sprintf("type %d", kind)
}

// Gateways returns the gateways of the namespace's default routes.
func Gateways(h *nsexec.Handle) ([]netip.Addr, error) {
	handle, err := h.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	routes, err := handle.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	var found []netip.Addr
	for i := range routes {
		r := &routes[i]
		if r.Dst != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		if gateway, ok := gatewayOf(r); ok {
			found = append(found, gateway)
		}
		for _, hop := range r.MultiPath {
			if gateway, ok := netip.AddrFromSlice(hop.Gw); ok {
				found = append(found, gateway.Unmap())
			}
		}
	}
	return found, nil
}

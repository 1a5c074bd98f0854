package attempt

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe"
)

// routes asks a namespace's kernel for its ways. The library's own route look-up
// knows neither protocol nor ports, by which a policy rule may decide, so that one
// request goes over a socket of its own.
type routes struct {
	*netlink.Handle
	socket *nl.SocketHandle
}

func openRoutes(h *nsexec.Handle) (*routes, error) {
	handle, err := h.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	socket, err := h.NetlinkSocket(unix.NETLINK_ROUTE)
	if err != nil {
		handle.Close()
		return nil, err
	}
	return &routes{handle, socket}, nil
}

func (r *routes) close() {
	r.Close()
	r.socket.Close()
}

// lookup is what the kernel knows when connect(2) looks for a way. The mark is 0,
// and the user is this process's.
type lookup struct {
	to   netip.AddrPort
	from netip.Addr // zero where the kernel is to choose
	zone int        // the interface of a link-local address, else 0
}

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

// found is the kernel's answer to a look-up.
type found struct {
	kind         uint8
	bits         uint8 // of the prefix, where that was asked for
	table, index int
	dst, gateway netip.Addr
	src          netip.Addr
}

// measure returns the way of a look-up.
func (r *routes) measure(l lookup) (path, error) {
	way, err := r.get(l, 0)
	if kind := refusedRoute(err); kind != "" {
		route := &fact.AttemptRoute{Type: kind}
		r.blame(l, route)
		return path{route: route}, nil
	}
	if err != nil {
		return path{}, fmt.Errorf("route to %s: %w", l.to.Addr(), err)
	}
	if !way.src.IsValid() { // the one that was asked for
		way.src = l.from.WithZone("")
	}
	p, err := r.follow(&way, l.to.Addr())
	if err != nil {
		return p, err
	}
	if match, err := r.get(l, unix.RTM_F_FIB_MATCH); err == nil {
		p.route.Dst = prefixText(match.dst, int(match.bits))
		if rule := r.ruleOf(l, func(rule *netlink.Rule) bool { return rule.Table == match.table }); rule != nil {
			p.route.Rule = ruleText(rule)
		}
	}
	return p, nil
}

// get asks for the way of a look-up (rtnetlink(7), RTM_GETROUTE).
func (r *routes) get(l lookup, flags uint32) (found, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_REQUEST)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: r.socket}
	to := l.to.Addr().WithZone("")
	message := &nl.RtMsg{}
	message.Family, message.Dst_len = familyOf(to), uint8(to.BitLen()) //nolint:gosec // 32 or 128
	message.Flags = unix.RTM_F_LOOKUP_TABLE | flags
	req.AddData(message)
	req.AddData(nl.NewRtAttr(unix.RTA_DST, to.AsSlice()))
	if from := l.from.WithZone(""); from.IsValid() && !from.IsUnspecified() {
		message.Src_len = uint8(from.BitLen()) //nolint:gosec // 32 or 128
		req.AddData(nl.NewRtAttr(unix.RTA_SRC, from.AsSlice()))
	}
	if l.zone > 0 {
		req.AddData(nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(l.zone)))) //nolint:gosec // an index
	}
	if port := l.to.Port(); port != 0 {
		req.AddData(nl.NewRtAttr(unix.RTA_IP_PROTO, []byte{unix.IPPROTO_TCP}))
		req.AddData(nl.NewRtAttr(unix.RTA_DPORT, binary.BigEndian.AppendUint16(nil, port)))
	}
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE)
	if err != nil {
		return found{}, err
	}
	if len(messages) != 1 || len(messages[0]) < unix.SizeofRtMsg {
		return found{}, fmt.Errorf("%d answers", len(messages))
	}
	return parseRoute(messages[0])
}

func parseRoute(message []byte) (found, error) {
	head := nl.DeserializeRtMsg(message)
	attributes, err := nl.ParseRouteAttr(message[head.Len():])
	if err != nil {
		return found{}, err
	}
	way := found{kind: head.Type, bits: head.Dst_len, table: int(head.Table)}
	for _, a := range attributes {
		ip, _ := netip.AddrFromSlice(a.Value)
		switch a.Attr.Type {
		case unix.RTA_DST:
			way.dst = ip
		case unix.RTA_PREFSRC:
			way.src = ip
		case unix.RTA_GATEWAY:
			way.gateway = ip
		case unix.RTA_VIA: // IPv4 routed over an IPv6 next hop: a family, and the address
			if len(a.Value) > 2 {
				way.gateway, _ = netip.AddrFromSlice(a.Value[2:])
			}
		case unix.RTA_OIF:
			way.index = int(binary.NativeEndian.Uint32(a.Value))
		case unix.RTA_TABLE:
			way.table = int(binary.NativeEndian.Uint32(a.Value))
		}
	}
	return way, nil
}

// isOwn reports whether ip is an address of the namespace itself.
func (r *routes) isOwn(ip netip.Addr) bool {
	way, err := r.get(lookup{to: netip.AddrPortFrom(ip, 0)}, 0)
	return err == nil && way.kind == unix.RTN_LOCAL
}

// refusedRoute names the kind of route that makes the kernel answer err: it
// reports the error that connect(2) would get, not the route (fib_props in
// net/ipv4/fib_semantics.c). "" is no such answer.
func refusedRoute(err error) string {
	switch {
	case errors.Is(err, unix.ENETUNREACH):
		return fact.RouteNone
	case errors.Is(err, unix.EINVAL):
		return fact.RouteBlackhole
	case errors.Is(err, unix.EHOSTUNREACH):
		return fact.RouteUnreachable
	case errors.Is(err, unix.EACCES):
		return fact.RouteProhibit
	}
	return ""
}

func (r *routes) follow(way *found, to netip.Addr) (path, error) {
	route := &fact.AttemptRoute{Type: routeType(way.kind)}
	if way.table != unix.RT_TABLE_MAIN && way.table != unix.RT_TABLE_LOCAL {
		route.Table = way.table
	}
	if way.src.IsValid() {
		route.PrefSrc = way.src.String()
	}
	next := to
	if way.gateway.IsValid() && !way.gateway.IsUnspecified() {
		next, route.Gateway = way.gateway, way.gateway.String()
	}
	link, err := r.LinkByIndex(way.index)
	if err != nil {
		return path{}, fmt.Errorf("interface %d: %w", way.index, err)
	}
	attrs := link.Attrs()
	route.Dev = probe.LinkName(attrs.Name)
	if attrs.OperState != netlink.OperUp && attrs.OperState != netlink.OperUnknown {
		route.OperState = strings.ToUpper(attrs.OperState.String())
	}
	if attrs.RawFlags&unix.IFF_UP == 0 {
		route.OperState = "DOWN"
	}
	if route.Type == fact.RouteLocal || attrs.RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) != 0 {
		return path{route: route}, nil
	}
	neigh, err := r.neighbour(way.index, next)
	return path{
		route: route, neigh: neigh,
		hop: nextHop{addr: next.WithZone(""), src: way.src, index: way.index, mac: attrs.HardwareAddr},
	}, err
}

func (r *routes) neighbour(index int, next netip.Addr) (*fact.AttemptNeigh, error) {
	neighbours, err := r.NeighList(index, int(familyOf(next)))
	if err != nil {
		return nil, fmt.Errorf("neighbours: %w", err)
	}
	entry := &fact.AttemptNeigh{Dst: next.String(), State: "NONE"}
	for i := range neighbours {
		if n := &neighbours[i]; n.IP.Equal(net.IP(next.AsSlice())) {
			entry.State = neighState(n.State)
			entry.Lladdr = n.HardwareAddr.String()
		}
	}
	return entry, nil
}

func familyOf(ip netip.Addr) uint8 {
	if ip.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
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

// routeTypes names the types of routes (linux/rtnetlink.h).
var routeTypes = map[uint8]string{
	unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: fact.RouteLocal, unix.RTN_BROADCAST: "broadcast", unix.RTN_MULTICAST: "multicast",
	unix.RTN_BLACKHOLE: fact.RouteBlackhole, unix.RTN_UNREACHABLE: fact.RouteUnreachable, unix.RTN_PROHIBIT: fact.RouteProhibit,
}

func routeType(kind uint8) string { return cmp.Or(routeTypes[kind], fmt.Sprintf("type %d", kind)) }

// Gateways returns the gateways of the namespace's default routes.
func Gateways(h *nsexec.Handle) ([]netip.Addr, error) {
	handle, err := h.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	list, err := handle.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	var gateways []netip.Addr
	add := func(ip net.IP) {
		if gateway, ok := netip.AddrFromSlice(ip); ok && !gateway.IsUnspecified() {
			gateways = append(gateways, gateway.Unmap())
		}
	}
	for i := range list {
		r := &list[i]
		if r.Dst != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		add(r.Gw)
		if via, ok := r.Via.(*netlink.Via); ok {
			add(via.Addr)
		}
		for _, hop := range r.MultiPath {
			add(hop.Gw)
		}
	}
	return slices.Compact(gateways), nil
}

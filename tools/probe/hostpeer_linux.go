package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
)

// HostPeers fills in HostPeer for each veth or netkit pair in links, read from
// target by [Links], whose other end is in the host's namespace, and
// PeerNetnsID for those whose other end is in a third one.
//
// An index alone names nothing: each namespace counts its own. So the host's
// link with the index has to point back to this link, in the namespace that the
// host knows by that number (RTM_GETNSID). As a link has one other end, that
// proves it.
func HostPeers(ctx context.Context, target, host *nsexec.Handle, links []fact.Link, options LinkOptions) error {
	if target.Identity().Same(host.Identity()) {
		return nil
	}
	pairs := pairsElsewhere(links)
	if len(pairs) == 0 {
		return nil
	}
	side := &hostSide{target: target, host: host, options: options, targetID: -1, hostID: unknownID, known: make(map[int]linkMessage)}
	defer side.close()
	for _, link := range pairs {
		peer, err := side.peer(ctx, link)
		if err != nil {
			return fmt.Errorf("host's end of %s: %w", link.Name, err)
		}
		if link.HostPeer = peer; peer != nil {
			continue
		}
		elsewhere, err := side.elsewhere(ctx, link)
		if err != nil {
			return fmt.Errorf("other end of %s: %w", link.Name, err)
		}
		if elsewhere {
			link.PeerNetnsID = new(*link.LinkNetnsID)
		}
	}
	return nil
}

// pairsElsewhere selects the pairs whose other end is not in their namespace.
func pairsElsewhere(links []fact.Link) []*fact.Link {
	var pairs []*fact.Link
	for i := range links {
		l := &links[i]
		if kind := l.Kind(); (kind == "veth" || kind == "netkit") && l.LinkNetnsID != nil && l.LinkIndex != nil {
			pairs = append(pairs, l)
		}
	}
	return pairs
}

// hostSide looks at the host for one target.
type hostSide struct {
	target, host *nsexec.Handle
	options      LinkOptions
	// targetID is the number under which the host knows the target, -1 until it
	// is known; hostID the one under which the target knows the host, asked for
	// only where some other end was not found on the host.
	targetID, hostID int
	socket           *nsexec.NetlinkSocket // opened when first needed, nil before
	known            map[int]linkMessage   // links seen, by index: pods share a bridge
}

func (s *hostSide) close() {
	if s.socket != nil {
		s.socket.Close()
	}
}

// peer returns nil where the link with that index is not the other end, which
// happens when the pair was replaced in between.
func (s *hostSide) peer(ctx context.Context, link *fact.Link) (*fact.HostPeer, error) {
	m, err := s.link(ctx, *link.LinkIndex)
	if errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	facts := m.link(nil, s.options)
	if ok, err := s.pointsBack(ctx, &facts, link); !ok || err != nil {
		return nil, err
	}
	peer := &fact.HostPeer{Name: facts.Name, Index: facts.Index, Up: facts.Up(), State: facts.OperState}
	if facts.MTU != nil {
		peer.MTU = *facts.MTU
	}
	outside := facts.Index // where the host's addresses for this pod would be
	if master, ok := m.attrs.signed(unix.IFLA_MASTER); ok {
		outside = master
		if err := s.addMaster(ctx, peer, outside, facts.LinkInfo); err != nil {
			return nil, err
		}
	} else if err := s.addRoute(ctx, peer, link); err != nil {
		return nil, err
	}
	if link.IPv6Disabled != nil && *link.IPv6Disabled {
		if peer.IPv6, err = s.globalIPv6(ctx, outside); err != nil {
			return nil, err
		}
	}
	return peer, nil
}

// pointsBack reports whether candidate, a link of the host, is the other end of
// link.
func (s *hostSide) pointsBack(ctx context.Context, candidate, link *fact.Link) (bool, error) {
	if candidate.Kind() != link.Kind() || candidate.LinkIndex == nil || candidate.LinkNetnsID == nil ||
		*candidate.LinkIndex != link.Index {
		return false, nil
	}
	if s.targetID < 0 {
		// The kernel gives the target a number when it first has to tell it, which
		// was in the answer that candidate was made of.
		id, err := s.socket.NSID(ctx, s.target)
		if err != nil {
			return false, err
		}
		s.targetID = id
	}
	return s.targetID >= 0 && *candidate.LinkNetnsID == s.targetID, nil
}

// unknownID is no number that the kernel gives: -1 means none.
const unknownID = -2

// elsewhere reports whether the other end of link is in a third namespace. An
// end on the host that was not found was replaced between two reads, of which
// nothing is said.
func (s *hostSide) elsewhere(ctx context.Context, link *fact.Link) (bool, error) {
	if s.hostID == unknownID {
		socket, err := s.target.OpenNetlink(unix.NETLINK_ROUTE)
		if err != nil {
			return false, err
		}
		defer socket.Close()
		id, err := socket.NSID(ctx, s.host)
		if err != nil {
			return false, err
		}
		s.hostID = id
	}
	return *link.LinkNetnsID < 0 || *link.LinkNetnsID != s.hostID, nil
}

func (s *hostSide) addMaster(ctx context.Context, peer *fact.HostPeer, index int, info *fact.LinkInfo) error {
	master, err := s.link(ctx, index)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return err
	}
	up := master.flags&unix.IFF_UP != 0
	peer.Bridge, peer.BridgeUp = master.name(), &up
	if kind := master.kind(); kind != "bridge" {
		peer.BridgeKind = kind
	}
	if info != nil {
		peer.BridgePort = info.SlaveData
	}
	return nil
}

// addRoute asks the host for its route to the pod's address.
func (s *hostSide) addRoute(ctx context.Context, peer *fact.HostPeer, link *fact.Link) error {
	to, ok := globalAddress(link.AddrInfo)
	if !ok {
		return nil
	}
	b, err := s.socket.Get(ctx, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, routeTo(to)...)
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL):
		// No route, or one of type unreachable, prohibit or blackhole.
		peer.Route = &fact.HostRoute{To: to.String()}
		return nil
	case err != nil:
		return fmt.Errorf("route to %s: %w", to, err)
	}
	route, index, err := parseRoute(b)
	if err != nil {
		return err
	}
	route.To = to.String()
	peer.Route = &route
	out, err := s.link(ctx, index)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return err
	}
	route.Dev, route.Kind = out.name(), out.kind()
	return nil
}

// globalAddress is the first address of global scope, IPv4 before IPv6.
func globalAddress(addresses []fact.Addr) (netip.Addr, bool) {
	for _, family := range [...]string{"inet", "inet6"} {
		for _, a := range addresses {
			if a.Family == family && a.Scope == "global" {
				ip, err := netip.ParseAddr(a.Local)
				return ip, err == nil
			}
		}
	}
	return netip.Addr{}, false
}

// globalIPv6 lists the global IPv6 addresses of one interface, also those that
// will be usable in a moment.
func (s *hostSide) globalIPv6(ctx context.Context, index int) ([]string, error) {
	messages, _, err := s.socket.Dump(ctx, unix.RTM_GETADDR, unix.RTM_NEWADDR, nl.NewIfAddrmsg(unix.AF_INET6))
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	parsed, err := parseAddrs(messages, 0)
	if err != nil {
		return nil, err
	}
	var global []string
	for _, a := range parsed[index] {
		if a.Scope == "global" && !a.DADFailed {
			global = append(global, a.Local)
		}
	}
	return global, nil
}

// link reads one link of the host.
func (s *hostSide) link(ctx context.Context, index int) (linkMessage, error) {
	if m, ok := s.known[index]; ok {
		return m, nil
	}
	if err := s.open(); err != nil {
		return linkMessage{}, err
	}
	request := nl.NewIfInfomsg(unix.AF_UNSPEC)
	request.Index = int32(index) //nolint:gosec // the kernel's own number
	const skipStats = 1 << 3     // RTEXT_FILTER_SKIP_STATS of linux/rtnetlink.h: none of these are shown
	b, err := s.socket.Get(ctx, unix.RTM_GETLINK, unix.RTM_NEWLINK, request, nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStats)))
	if err != nil {
		return linkMessage{}, fmt.Errorf("link %d: %w", index, err)
	}
	m, err := splitLinkMessage(b)
	if err != nil {
		return linkMessage{}, err
	}
	s.known[index] = m
	return m, nil
}

func (s *hostSide) open() error {
	if s.socket != nil {
		return nil
	}
	socket, err := s.host.OpenNetlink(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	s.socket = socket
	return nil
}

package attempt

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe"
	"nsenter-mcp/tools/probe/conntrack"
)

// AskNode adds to each attempt of the target that failed what its node knows of the
// connection. It changes nothing where the target is the node itself or attached to
// another one, as in a cluster in containers, or node is nil.
// It ends with ctx.
func AskNode(ctx context.Context, node, target *nsexec.Handle, attempts []fact.Attempt) {
	if node == nil {
		return
	}
	for i := range attempts {
		AskJourney(ctx, node, target, attempts[i].Journey)
	}
	if node.Identity().Same(target.Identity()) {
		return
	}
	for i := range attempts {
		a := &attempts[i]
		if a.Local == "" || a.Route == nil || a.Route.Dev == "" || !leadsTo(ctx, target, a.Route.Dev, node) {
			continue
		}
		r, err := openRoutes(node)
		if err != nil {
			return
		}
		if known := askNode(ctx, node, r, a); known != (fact.AttemptNode{}) {
			a.Node = &known
		}
		r.Close()
	}
}

// AskJourney says of a journey that began in the target whose network each step was in,
// and adds the next hop where the node dropped a packet. node may be nil, as j may be.
// It ends with ctx.
func AskJourney(ctx context.Context, node, target *nsexec.Handle, j *fact.Journey) {
	if node == nil || j == nil {
		j.SetPlaces(target.Identity().Inode, 0)
		return
	}
	j.SetPlaces(target.Identity().Inode, node.Identity().Inode)
	for i := range slices.Backward(j.Steps) {
		s := &j.Steps[i]
		to, err := netip.ParseAddrPort(s.Dst)
		if err != nil || s.What != fact.StepDropped || s.Place != fact.PlaceNode || s.Back {
			continue
		}
		if r, err := openRoutes(node); err == nil {
			if way, err := r.measure(ctx, lookup{to: to}); err == nil {
				j.NextHop = way.neigh
			}
			r.Close()
		}
		return
	}
}

func leadsTo(ctx context.Context, target *nsexec.Handle, dev string, node *nsexec.Handle) bool {
	index, err := target.InterfaceIndex(dev)
	return err == nil && target.LeadsTo(ctx, index, node)
}

func askNode(ctx context.Context, node *nsexec.Handle, r *routes, a *fact.Attempt) (known fact.AttemptNode) {
	from, err := netip.ParseAddrPort(a.Local)
	if err != nil {
		return known
	}
	to, err := netip.ParseAddrPort(a.Address)
	if sent, sentErr := netip.ParseAddrPort(a.SentTo); sentErr == nil {
		to, err = sent, nil
	}
	if err != nil {
		return known
	}
	var sentOn netip.AddrPort
	if entry, err := conntrack.Get(ctx, node, conntrack.TCP, from, to); err == nil {
		known.Tracked, known.Replied = true, entry.Replied
		if sentOn = entry.Rewritten(to); sentOn.IsValid() {
			known.SentTo = sentOn.String()
		}
	}
	if gateway, err := netip.ParseAddr(a.Route.Gateway); err == nil {
		known.IsGateway = r.isOwn(ctx, gateway)
	}
	if a.Answer != nil && a.Answer.Kind == "icmp" {
		if answerer, err := netip.ParseAddr(a.Answer.From); err == nil {
			known.IsAnswerer = r.isOwn(ctx, answerer)
		}
		if known.IsAnswerer {
			known.Route = r.routeFor(ctx, from, cmp.Or(sentOn, to))
		}
	}
	if a.Wire != nil {
		if answerer, err := netip.ParseAddrPort(a.Wire.AnswerFrom); err == nil {
			if bridge := r.commonBridge(ctx, from.Addr(), answerer.Addr()); bridge != "" {
				known.Bridge, known.BridgeNF = probe.LinkName(bridge), readBridgeNF(node, answerer.Addr().Is6())
			}
		}
	}
	return known
}

// routeFor is the route by which the namespace passes on what comes from a neighbour, by
// the interface that leads to it; nil where that is not known.
func (r *routes) routeFor(ctx context.Context, from, to netip.AddrPort) *fact.AttemptRoute {
	back, err := r.get(ctx, lookup{to: from}, 0)
	if err != nil {
		return nil
	}
	l := lookup{to: to, from: from.Addr(), iif: back.index}
	found, _, err := r.forward(ctx, &l)
	if err != nil {
		return nil
	}
	return found.route
}

// commonBridge names the bridge by which the namespace reaches two neighbours; ""
// where they are not on one.
func (r *routes) commonBridge(ctx context.Context, a, b netip.Addr) string {
	var index int
	for _, ip := range [...]netip.Addr{a, b} {
		way, err := r.get(ctx, lookup{to: netip.AddrPortFrom(ip, 0)}, 0)
		if err != nil || way.gateway.IsValid() || index != 0 && index != way.index {
			return ""
		}
		index = way.index
	}
	link, err := r.Link(ctx, index)
	if err != nil {
		return ""
	}
	if _, ok := link.(*netlink.Bridge); !ok {
		return ""
	}
	return link.Attrs().Name
}

// readBridgeNF reports whether what a bridge passes on meets the packet filter of its
// namespace (net.bridge.bridge-nf-call-iptables; ip-sysctl.rst); nil where br_netfilter
// is not loaded.
func readBridgeNF(node *nsexec.Handle, v6 bool) *bool {
	name := "/proc/sys/net/bridge/bridge-nf-call-iptables"
	if v6 {
		name = "/proc/sys/net/bridge/bridge-nf-call-ip6tables"
	}
	return readSwitch(node, name)
}

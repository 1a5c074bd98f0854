package attempt

import (
	"bytes"
	"context"
	"net/netip"
	"slices"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
)

// AskEnd adds to a journey what the network in which its last packet ended, which is h,
// says of that packet. It changes nothing where that was handed on as a frame of a bridge
// alone, or cannot be asked. It ends with ctx.
func AskEnd(ctx context.Context, h *nsexec.Handle, j *fact.Journey) {
	way := j.Way()
	if len(way) == 0 {
		return
	}
	last := way[len(way)-1]
	to, err := netip.ParseAddrPort(last.Dst)
	from, fromErr := netip.ParseAddrPort(last.Src)
	if err != nil || fromErr != nil {
		return
	}
	r, err := openRoutes(h)
	if err != nil {
		return
	}
	defer r.Close()
	l := lookup{to: to, from: from.Addr(), udp: last.Proto == "udp"}
	for _, s := range slices.Backward(way) { // the last device that received it there
		if s.NetnsInode == last.NetnsInode && s.Back == last.Back && s.What != fact.StepQueued && s.Ifindex > 0 {
			l.iif = s.Ifindex
			break
		}
	}
	found, bridged, err := r.forward(ctx, &l)
	if err != nil || bridged {
		return
	}
	end := fact.JourneyEnd{Route: found.route, Neigh: found.neigh}
	if l.iif > 0 {
		end.Forwarding = readForwarding(h, l.in, to.Addr().Is6())
	}
	if end.Route != nil && end.Route.Type == fact.RouteLocal {
		if back, err := r.measure(ctx, lookup{to: from, from: to.Addr(), udp: l.udp}); err == nil {
			end.Return = back.route
		}
		if last.Kind == "SYN" && !last.Back {
			end.Queue = readAcceptQueue(ctx, h, to)
			end.Listeners = Listeners(ctx, h, to.Port())
		}
	}
	j.End = &end
}

// forward is measure for a packet that may have come in, by an interface whose name is
// filled in. Its route is nil where the kernel refuses and no route or rule says so: the
// errors have other reasons there (ip_route_input_slow in net/ipv4/route.c). bridged says
// that the interface is a bridge's port: of what comes in there no route is looked up.
func (r *routes) forward(ctx context.Context, l *lookup) (found path, bridged bool, err error) {
	if l.iif > 0 {
		link, err := r.Link(ctx, l.iif)
		if err != nil || link.Attrs().MasterIndex > 0 {
			return path{}, err == nil, err
		}
		l.in = link.Attrs().Name
	}
	found, err = r.measure(ctx, *l)
	if l.iif > 0 && err == nil && refusing[found.route.Type] != 0 && found.route.Dst == "" && found.route.Rule == "" {
		found.route = nil
	}
	return found, false, err
}

// readForwarding reports whether a namespace passes on what a device receives: for IPv4
// that is up to the device, for IPv6 to all (forwarding in the kernel's ip-sysctl.rst);
// nil where that cannot be read.
func readForwarding(h *nsexec.Handle, dev string, v6 bool) *bool {
	name := "/proc/sys/net/ipv4/conf/" + dev + "/forwarding"
	if v6 {
		name = "/proc/sys/net/ipv6/conf/all/forwarding"
	}
	return readSwitch(h, name)
}

// readSwitch reports whether a sysctl of a namespace is not 0; nil where it cannot be read.
func readSwitch(h *nsexec.Handle, name string) *bool {
	var text []byte
	err := h.Do(func() (err error) {
		text, err = readInto(make([]byte, 8), name)
		return err
	})
	if err != nil {
		return nil
	}
	return new(!bytes.HasPrefix(text, []byte("0")))
}

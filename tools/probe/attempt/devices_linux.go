package attempt

import (
	"context"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe"
)

// maxDevices bounds the devices of one network that are looked at.
const maxDevices = 32

// tunnels are the kinds of devices that pack packets into others (ip-link(8)).
var tunnels = []string{"vxlan", "geneve", "ipip", "ip6tnl", "gre", "ip6gre", "gretap", "ip6gretap", "sit", "vti", "vti6", "xfrm", "wireguard", "tuntap", "tun"}

// DescribeDevices says of the devices in trails what they are. Only devices of networks
// that are to be read are looked at, by one question each; others have names that a veth
// may lead to. What cannot be read stays absent. It ends with ctx.
func DescribeDevices(ctx context.Context, networks []Network, journeys []*fact.Journey) {
	for i := range networks {
		if !networks[i].Read {
			continue
		}
		r, err := openRoutes(networks[i].Handle)
		if err != nil {
			continue
		}
		d := &devices{routes: r, here: &networks[i], all: networks, known: map[int]fact.JourneyDevice{}}
		for _, j := range journeys {
			for k := range j.Steps {
				d.describe(ctx, &j.Steps[k])
			}
		}
		r.Close()
	}
}

// devices are those of one network.
type devices struct {
	*routes
	here  *Network
	all   []Network
	known map[int]fact.JourneyDevice // by index
	out   []int                      // the devices of the default routes; nil before they were asked for
}

func (d *devices) describe(ctx context.Context, s *fact.JourneyStep) {
	if s.NetnsInode != d.of.Identity().Inode || s.Ifindex == 0 {
		return
	}
	device, ok := d.known[s.Ifindex]
	if !ok && len(d.known) < maxDevices {
		device = d.read(ctx, s.Ifindex, s.Dev)
		d.known[s.Ifindex] = device
	}
	s.JourneyDevice = device
}

// read asks for one device, which is another one where it has another name by now.
func (d *devices) read(ctx context.Context, index int, name string) (device fact.JourneyDevice) {
	link, err := d.Link(ctx, index)
	if err != nil || probe.LinkName(link.Attrs().Name) != name || link.Attrs().RawFlags&unix.IFF_LOOPBACK != 0 {
		return device
	}
	if master := link.Attrs().MasterIndex; master != 0 {
		if bridge, err := d.Link(ctx, master); err == nil && bridge.Type() == "bridge" {
			device.Bridge = probe.LinkName(bridge.Attrs().Name)
		}
	}
	switch kind := link.Type(); {
	case kind == "bridge":
		device.Role = fact.RoleBridge
	case slices.Contains(tunnels, kind):
		device.Role = fact.RoleTunnel
	case kind == "veth" || kind == "netkit":
		device.Role = fact.RoleVeth
		d.otherEnd(ctx, link, &device)
	}
	// A physical device has no kind.
	if d.here.Node && device.LeadsTo == "" && device.Role != fact.RoleTunnel && (link.Type() == "device" || slices.Contains(d.defaults(ctx), index)) {
		device.Role = fact.RoleUplink
	}
	return device
}

// otherEnd finds the other end of a pair in the networks that are known.
func (d *devices) otherEnd(ctx context.Context, link netlink.Link, device *fact.JourneyDevice) {
	for i := range d.all {
		other := &d.all[i]
		id, err := d.NSID(ctx, other.Handle)
		if err != nil || id < 0 || id != link.Attrs().NetNsID {
			continue
		}
		device.LeadsTo = other.Name
		r, err := openRoutes(other.Handle)
		if err != nil {
			return
		}
		if peer, err := r.Link(ctx, link.Attrs().ParentIndex); err == nil {
			device.Peer = probe.LinkName(peer.Attrs().Name)
		}
		r.Close()
		return
	}
}

// defaults are the devices by which the kernel reaches addresses for which it has no
// other route than the default one, for IPv4 and IPv6. They are of documentation
// networks (RFC 5737, RFC 3849).
func (d *devices) defaults(ctx context.Context) []int {
	if d.out != nil {
		return d.out
	}
	d.out = []int{}
	for _, ip := range [...]string{"192.0.2.1", "2001:db8::1"} {
		l := lookup{to: netip.AddrPortFrom(netip.MustParseAddr(ip), 0)}
		if match, err := d.get(ctx, l, unix.RTM_F_FIB_MATCH); err == nil && match.bits == 0 {
			if way, err := d.get(ctx, l, 0); err == nil {
				d.out = append(d.out, way.index)
			}
		}
	}
	return d.out
}

package nsexec

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// netlinkTimeout bounds one send or receive of the library. The kernel answers in
// microseconds; the bound is for one that is badly broken.
const netlinkTimeout = 5 * time.Second

// Netlink opens the library's netlink sockets inside the namespace for the given
// families (unix.NETLINK_ROUTE, ...; at least one), for the lab and for tests: the
// library's answers have no bound, and it knows no context. What reads the networks of
// others uses [Handle.OpenNetlink]. The caller closes the handle, which any goroutine
// may use, one request at a time.
//
// Name every family that is going to be used, and use nothing after Close: the
// library answers a request for which a handle has no socket from the namespace
// of the calling thread, which is home, and says nothing
// (nl.NetlinkRequest.ExecuteIter).
//
// The library's own NewHandleAt is not used: it ignores a thread that does not
// come back.
func (n *Handle) Netlink(families ...int) (*netlink.Handle, error) {
	if len(families) == 0 {
		return nil, errors.New("open netlink: no family is named")
	}
	var handle *netlink.Handle
	err := n.Do(func() (err error) {
		handle, err = netlink.NewHandle(families...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	if err := handle.SetSocketTimeout(netlinkTimeout); err != nil {
		handle.Close()
		return nil, fmt.Errorf("netlink timeout: %w", err)
	}
	return handle, nil
}

// NSID returns the number under which the socket's namespace knows another, the one
// that attributes such as IFLA_LINK_NETNSID carry (ip-netns(8), "nsid"), or -1
// where it has given it none.
func (s *NetlinkSocket) NSID(ctx context.Context, other *Handle) (int, error) {
	id := -1
	err := other.withFD(func(fd int) error {
		request := nl.NewRtAttr(unix.NETNSA_FD, nl.Uint32Attr(uint32(fd))) //nolint:gosec // descriptors fit
		b, err := s.Get(ctx, unix.RTM_GETNSID, unix.RTM_NEWNSID, &nl.RtGenMsg{}, request)
		if err != nil {
			return err
		}
		const header = 4 // struct rtgenmsg, padded
		attributes, err := nl.ParseRouteAttr(b[min(header, len(b)):])
		for _, a := range attributes {
			if a.Attr.Type == unix.NETNSA_NSID && len(a.Value) == 4 {
				id = int(int32(binary.NativeEndian.Uint32(a.Value))) //nolint:gosec // -1 for none
			}
		}
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("number of %s: %w", other.id, err)
	}
	return id, nil
}

// Link returns the interface with a number; ENODEV where there is none.
func (s *NetlinkSocket) Link(ctx context.Context, index int) (netlink.Link, error) {
	request := nl.NewIfInfomsg(unix.AF_UNSPEC)
	request.Index = int32(index) //nolint:gosec // the kernel's own number
	b, err := s.Get(ctx, unix.RTM_GETLINK, unix.RTM_NEWLINK, request)
	if err != nil {
		return nil, fmt.Errorf("interface %d: %w", index, err)
	}
	return netlink.LinkDeserialize(nil, b)
}

// LeadsTo reports whether an interface of n may lead to the namespace other: it is no
// pair of interfaces, or one whose other end is there (IFLA_LINK_NETNSID). Loopback
// leads nowhere, nor does an interface that n does not have.
func (n *Handle) LeadsTo(ctx context.Context, index int, other *Handle) bool {
	s, err := n.OpenNetlink(unix.NETLINK_ROUTE)
	if err != nil {
		return false
	}
	defer s.Close()
	link, err := s.Link(ctx, index)
	if err != nil || link.Attrs().RawFlags&unix.IFF_LOOPBACK != 0 {
		return false
	}
	if kind := link.Type(); kind != "veth" && kind != "netkit" {
		return true
	}
	id, err := s.NSID(ctx, other)
	return err == nil && id >= 0 && id == link.Attrs().NetNsID // -1: the other end is in n itself, or n has no number for other
}

// Addresses returns the IP addresses of all interfaces of the namespace, of a family
// (unix.AF_INET, unix.AF_INET6) or with unix.AF_UNSPEC of both. Of more than a dump
// holds ([NetlinkSocket.Dump]) the rest is missing.
func (n *Handle) Addresses(ctx context.Context, family int) ([]Address, error) {
	s, err := n.OpenNetlink(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	messages, _, err := s.Dump(ctx, unix.RTM_GETADDR, unix.RTM_NEWADDR, nl.NewIfAddrmsg(family))
	if err != nil {
		return nil, fmt.Errorf("read addresses: %w", err)
	}
	var all []Address
	for _, b := range messages {
		if len(b) < unix.SizeofIfAddrmsg {
			return nil, errors.New("read addresses: a message is shorter than its header")
		}
		attributes, err := nl.ParseRouteAttr(b[unix.SizeofIfAddrmsg:])
		if err != nil {
			return nil, fmt.Errorf("read addresses: %w", err)
		}
		a := Address{Index: int(binary.NativeEndian.Uint32(b[4:]))}
		var ip, local netip.Addr
		for _, at := range attributes {
			switch at.Attr.Type {
			case unix.IFA_ADDRESS:
				ip, _ = netip.AddrFromSlice(at.Value)
			case unix.IFA_LOCAL: // of a pair of addresses, the own one
				local, _ = netip.AddrFromSlice(at.Value)
			case unix.IFA_LABEL:
				a.Label = unix.ByteSliceToString(at.Value)
			}
		}
		if local.IsValid() {
			ip = local
		}
		if a.Prefix = netip.PrefixFrom(ip, int(b[1])); a.Prefix.IsValid() {
			all = append(all, a)
		}
	}
	return all, nil
}

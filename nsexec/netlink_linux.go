package nsexec

import (
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netlinkTimeout bounds one send or receive. The kernel answers in
// microseconds; the bound is for one that is badly broken.
const netlinkTimeout = 5 * time.Second

// allFamilies are those that the methods of netlink.Handle speak. The library's
// own list (nl.SupportedNlFamilies) leaves two of them out.
var allFamilies = [...]int{
	unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER, unix.NETLINK_INET_DIAG, unix.NETLINK_GENERIC, unix.NETLINK_XFRM,
}

// Netlink opens netlink sockets inside the namespace for the given families
// (unix.NETLINK_ROUTE, ...; none means all that the library speaks). The caller
// closes the handle, which any goroutine may use, one request at a time.
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
		families = allFamilies[:]
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

// NetlinkSocket opens one netlink socket inside the namespace for raw
// requests (nl.NetlinkRequest.Sockets). The caller closes it.
func (n *Handle) NetlinkSocket(family int) (*nl.SocketHandle, error) {
	var socket *nl.NetlinkSocket
	err := n.Do(func() (err error) {
		socket, err = nl.GetNetlinkSocketAt(netns.None(), netns.None(), family)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	timeout := unix.NsecToTimeval(netlinkTimeout.Nanoseconds())
	if err := socket.SetSendTimeout(&timeout); err != nil {
		socket.Close()
		return nil, fmt.Errorf("netlink timeout: %w", err)
	}
	if err := socket.SetReceiveTimeout(&timeout); err != nil {
		socket.Close()
		return nil, fmt.Errorf("netlink timeout: %w", err)
	}
	return &nl.SocketHandle{Socket: socket}, nil
}

// NSID returns the number under which n knows the namespace other, the one
// that attributes such as IFLA_LINK_NETNSID carry (ip-netns(8), "nsid"), or -1
// where n has given it none.
func (n *Handle) NSID(other *Handle) (int, error) {
	handle, err := n.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return -1, err
	}
	defer handle.Close()
	id := -1
	err = other.withFD(func(fd int) (err error) {
		id, err = handle.GetNetNsIdByFd(fd)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("id of %s in %s: %w", other.id, n.id, err)
	}
	return id, nil
}

// LeadsTo reports whether a link of n may lead to the namespace other: it is no pair of
// interfaces, or one whose other end is there (IFLA_LINK_NETNSID).
func (n *Handle) LeadsTo(link netlink.Link, other *Handle) bool {
	if kind := link.Type(); kind != "veth" && kind != "netkit" {
		return true
	}
	id, err := n.NSID(other)
	return err == nil && id >= 0 && id == link.Attrs().NetNsID // -1: the other end is in n itself, or n has no number for other
}

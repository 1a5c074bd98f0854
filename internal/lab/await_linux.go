package lab

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// eventTimeout bounds the wait for what takes the kernel milliseconds, or two
// seconds at most.
const eventTimeout = 10 * time.Second

// awaitUp returns when a link's operational state is up. A link that was set up
// gets there a little later, by the kernel's link watch (net/core/link_watch.c);
// until then a bridge does not forward to it, and the first ARP request, lost,
// would cost a second.
func (n *Netns) awaitUp(name string) error {
	return n.awaiting(unix.RTNLGRP_LINK, "link "+name, func() error { return nil }, func() (up bool, err error) {
		err = n.onLink(name, func(_ *netlink.Handle, link netlink.Link) error {
			up = link.Attrs().OperState == netlink.OperUp
			return nil
		})
		return up, err
	})
}

// awaiting runs start and then waits until done says so, asking it again after
// each netlink event of the group. What the events say does not matter.
func (n *Netns) awaiting(group uint, what string, start func() error, done func() (bool, error)) error {
	var events *nl.NetlinkSocket
	err := n.Handle.Do(func() (err error) {
		events, err = nl.SubscribeAt(netns.None(), netns.None(), unix.NETLINK_ROUTE, group)
		return err
	})
	if err != nil {
		return fmt.Errorf("subscribe to events: %w", err)
	}
	defer events.Close()
	if err := start(); err != nil {
		return err
	}
	deadline := time.Now().Add(eventTimeout)
	for {
		if ok, err := done(); err != nil || ok {
			return err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("%s: not there after %s", what, eventTimeout)
		}
		timeout := unix.NsecToTimeval(left.Nanoseconds())
		if err := events.SetReceiveTimeout(&timeout); err != nil {
			return err
		}
		_, _, err := events.Receive()
		// EAGAIN is the timeout, ENOBUFS says that events were lost.
		if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("receive events: %w", err)
		}
	}
}

package nsexec

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Socket makes a socket inside the namespace, close-on-exec and non-blocking,
// and returns its descriptor, which the caller owns. Arguments are those of
// socket(2). Raw and packet sockets need CAP_NET_RAW in the user namespace
// that owns the target; without it the error is a [*PermissionError].
func (n *Handle) Socket(domain, typ, proto int) (int, error) {
	if fd, ok := n.takeSpare(domain, typ, proto); ok {
		return fd, nil
	}
	return n.newSocket(domain, typ, proto)
}

func (n *Handle) newSocket(domain, typ, proto int) (int, error) {
	fd := -1
	err := n.home.step(n, func() (err error) {
		fd, err = unix.Socket(domain, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
		if errors.Is(err, unix.EPERM) { // raw(7), packet(7)
			return &PermissionError{Op: "make a raw socket in " + n.id.String(), Need: []string{"CAP_NET_RAW"}, Err: err}
		}
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		if fd >= 0 { // made, but the trip back reported something
			closeFD(fd)
		}
		return -1, err
	}
	return fd, nil
}

// Control is a hook for [net.Dialer] and [net.ListenConfig]. It puts a socket
// of the namespace in the place of the one Go has just made, under the same
// descriptor, so everything that package net does later (connect, deadlines,
// cancellation, keep-alive, accept) works on the target's socket. Package net
// registers the descriptor with its poller only after this hook.
//
// Options that package net set before the hook are set again on the new
// socket; a hook of the caller's own that sets others has to come after this
// one. Multipath TCP is replaced by TCP: a pod's network is judged by the
// protocol that its applications speak.
func (n *Handle) Control(_, _ string, c syscall.RawConn) error {
	var inner error
	if err := c.Control(func(fd uintptr) { inner = n.replace(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// carriedOptions are those that net/sockopt_linux.go sets before the hook runs.
var carriedOptions = [...]struct{ level, name int }{
	{unix.SOL_SOCKET, unix.SO_REUSEADDR}, // listeners, also multicast ones
	{unix.SOL_SOCKET, unix.SO_BROADCAST}, // datagrams
	// Also when 0: the default is a sysctl of the namespace, net.ipv6.bindv6only.
	{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY},
}

func (n *Handle) replace(fd int) error {
	var kind [3]int // domain, type, protocol
	for i, option := range [...]int{unix.SO_DOMAIN, unix.SO_TYPE, unix.SO_PROTOCOL} {
		value, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
		if err != nil {
			return os.NewSyscallError("getsockopt", err)
		}
		kind[i] = value
	}
	domain, typ, proto := kind[0], kind[1], kind[2]
	if proto == unix.IPPROTO_MPTCP {
		proto = unix.IPPROTO_TCP
	}
	inside, err := n.Socket(domain, typ, proto)
	if err != nil {
		return err
	}
	defer closeFD(inside)
	for _, option := range carriedOptions {
		// A raw socket counts as bound by its protocol, too late for V6ONLY
		// (do_ipv6_setsockopt in net/ipv6/ipv6_sockglue.c).
		if option.level == unix.IPPROTO_IPV6 && (domain != unix.AF_INET6 || typ == unix.SOCK_RAW) {
			continue
		}
		value, err := unix.GetsockoptInt(fd, option.level, option.name)
		if err != nil {
			continue // not an option of this kind of socket, so not set either
		}
		if err := unix.SetsockoptInt(inside, option.level, option.name, value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return os.NewSyscallError("dup3", unix.Dup3(inside, fd, unix.O_CLOEXEC))
}

// Dialer returns a dialer whose connections start inside the namespace. Dial
// literal addresses only: a name would be looked up with the host's files and
// servers. [Handle.DialContext] enforces that.
func (n *Handle) Dialer() *net.Dialer {
	d := &net.Dialer{Control: n.Control}
	d.SetMultipathTCP(false)
	return d
}

// ListenConfig returns a configuration whose listeners live inside the
// namespace.
func (n *Handle) ListenConfig() *net.ListenConfig {
	l := &net.ListenConfig{Control: n.Control}
	l.SetMultipathTCP(false)
	return l
}

// DialContext connects from inside the namespace to a literal address with a
// numeric port ("10.0.0.1:80", "[fe80::1%eth0]:80"); anything else is
// [ErrNotLiteral]. The zone of a link-local address names an interface of the
// target.
func (n *Handle) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	literal, err := n.literal(address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return n.Dialer().DialContext(ctx, network, literal)
}

// literal checks address and writes its zone as a number: package net caches
// zone names of the whole process for a minute, and eth0 has another index in
// each namespace.
func (n *Handle) literal(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotLiteral, err)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%w: port %q", ErrNotLiteral, port)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotLiteral, err)
	}
	if ip.Zone() == "" {
		return address, nil
	}
	index, err := n.InterfaceIndex(ip.Zone())
	if err != nil {
		return "", fmt.Errorf("zone %q: %w", ip.Zone(), err)
	}
	return net.JoinHostPort(ip.WithZone(strconv.Itoa(index)).String(), port), nil
}

// InterfaceIndex returns the number of the interface that a zone of a link-local
// address names (RFC 4007, section 11.2), which may be that number itself; ENODEV where
// the namespace has no interface of that name.
func (n *Handle) InterfaceIndex(zone string) (int, error) {
	if index, err := strconv.ParseUint(zone, 10, 31); err == nil {
		return int(index), nil
	}
	request, err := unix.NewIfreq(zone)
	if err != nil {
		return 0, err
	}
	fd, err := n.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return 0, err
	}
	defer closeFD(fd)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return 0, os.NewSyscallError("ioctl(SIOCGIFINDEX)", err)
	}
	return int(request.Uint32()), nil
}

package nsexec_test

import (
	"errors"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

func nsid(t testing.TB, n, other *nsexec.Handle) (int, error) {
	t.Helper()
	s, err := n.OpenNetlink(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.NSID(t.Context(), other)
}

func TestNSID(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	a, b, stranger := newNetns(t, home), newNetns(t, home), newNetns(t, home)
	for name, pair := range map[string][2]*nsexec.Handle{"a in b": {b, a}, "b in a": {a, b}, "itself": {a, a}} {
		if id, err := nsid(t, pair[0], pair[1]); err != nil || id != -1 {
			t.Errorf("%s: %d, %v, want -1", name, id, err)
		}
	}
	// The kernel gives numbers where a link refers to the other side.
	linkPair(t, a, b, "pair0")
	for name, pair := range map[string][2]*nsexec.Handle{"b in a": {a, b}, "a in b": {b, a}} {
		link, err := routeHandle(t, pair[0]).LinkByName("pair0")
		if err != nil {
			t.Fatal(err)
		}
		id, err := nsid(t, pair[0], pair[1])
		if err != nil || id < 0 || id != link.Attrs().NetNsID {
			t.Errorf("%s: %d, %v, want %d as the link says", name, id, err, link.Attrs().NetNsID)
		}
		leadsTo := func(index int, other *nsexec.Handle) bool { return pair[0].LeadsTo(t.Context(), index, other) }
		if index := link.Attrs().Index; !leadsTo(index, pair[1]) || leadsTo(index, stranger) || leadsTo(index, pair[0]) || leadsTo(1, pair[1]) || leadsTo(4711, pair[1]) {
			t.Errorf("%s: the pair leads elsewhere", name)
		}
		if id, err := nsid(t, pair[0], stranger); err != nil || id != -1 {
			t.Errorf("a stranger: %d, %v, want -1", id, err)
		}
	}
	// Each side has numbers of its own.
	h := routeHandle(t, stranger)
	if err := a.WithFD(func(fd int) error { return h.SetNetNsIdByFd(fd, 4711) }); err != nil {
		t.Fatal(err)
	}
	if id, err := nsid(t, stranger, a); err != nil || id != 4711 {
		t.Errorf("a in the stranger: %d, %v, want 4711", id, err)
	}
	if id, err := nsid(t, a, stranger); err != nil || id != -1 {
		t.Errorf("the stranger in a: %d, %v, want -1", id, err)
	}
}

// Whichever way a handle is asked, the target answers.
func TestNetlinkIsInside(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	target := newNetns(t, home)
	addDummy(t, target, "only-here")
	ln, err := target.ListenConfig().Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := uint16(ln.Addr().(*net.TCPAddr).Port)

	families := []int{unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER, unix.NETLINK_INET_DIAG}
	h, err := target.Netlink(families...)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, err := h.LinkByName("only-here"); err != nil {
		t.Error(err)
	}
	for _, family := range families {
		if !h.SupportsNetlinkFamily(family) {
			t.Errorf("no socket of family %d: home would answer", family)
		}
	}
	found, err := h.SocketDiagTCP(unix.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].ID.SourcePort != port {
		t.Errorf("sockets %+v, want the listener on port %d alone", found, port)
	}

	socket, err := target.OpenNetlink(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	messages, complete, err := socket.Dump(t.Context(), unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC))
	if err != nil || !complete {
		t.Fatal(complete, err)
	}
	if len(messages) != 3 { // lo and both ends
		t.Errorf("%d links, want 3", len(messages))
	}
	for _, none := range [][]int{{-1}, nil} {
		if _, err := target.Netlink(none...); err == nil {
			t.Errorf("families %v: no error", none)
		}
	}
	if _, err := target.OpenNetlink(-1); err == nil {
		t.Error("a family that does not exist: no error")
	}
	var notFound netlink.LinkNotFoundError
	if _, err := routeHandle(t, home.Self()).LinkByName("only-here"); !errors.As(err, &notFound) {
		t.Errorf("at home: %v, want not found", err)
	}
}

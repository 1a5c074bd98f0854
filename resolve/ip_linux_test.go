package resolve

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

func TestResolveIP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pods := w.Pods(t, lab.PodSpec{Name: "web-0", IPv6: true}, lab.PodSpec{Name: "web-1", Style: lab.Calico}, lab.PodSpec{Name: "unseen"})
	r := w.resolverFor(t, Config{AllowHostNetwork: true, Root: rootWith(t, pods[0].PID, pods[1].PID)})
	for _, p := range pods[:2] {
		target := open(t, r, Query{IP: p.IP.String()})
		inside(t, target, p.Handle)
		if target.Via != ViaNetns || target.PID() != p.PID || target.App == nil {
			t.Errorf("%s: got pid %d via %s", p.IP, target.PID(), target.Via)
		}
	}
	inside(t, open(t, r, Query{IP: pods[0].IP6.String()}), pods[0].Handle)
	inside(t, open(t, r, Query{IP: "::ffff:" + pods[0].IP.String()}), pods[0].Handle)
	host := open(t, r, Query{IP: w.Node.IP.String()})
	inside(t, host, w.Node.Handle)
	if !host.HostNetwork || !strings.Contains(noted(host, NoteNoFiles), "not seen from here") { // the root has no etc
		t.Errorf("the node's own address: host network %v, notes %+v", host.HostNetwork, host.Notes)
	}
	refused(t, w.resolverFor(t, Config{Root: t.TempDir()}), Query{IP: w.Node.IP.String()}, KindHostNetworkDenied)
	for _, ip := range []string{"192.0.2.77", pods[2].IP.String()} {
		if e := refused(t, r, Query{IP: ip}, KindNotFound); len(e.Steps) == 0 || !strings.Contains(e.Message, "3 looked into") {
			t.Errorf("%s: %q with steps %+v", ip, e.Message, e.Steps)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var e *Error
	if _, err := r.Resolve(ctx, Query{IP: "192.0.2.77"}); !errors.As(err, &e) || e.Kind != KindCanceled {
		t.Errorf("got %v, want canceled", err)
	}
}

// The first process of a network may end before it is looked at, or have moved.
func TestResolveIPByTheNextProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}, {Name: "over"}}})
	other := w.Pod(t, lab.PodSpec{Name: "web-1"})
	over := p.Containers[1].PID()
	if err := p.Containers[1].Exit(0); err != nil {
		t.Fatal(err)
	}
	s := &ipSearch{Resolver: w.resolver, ip: p.IP}
	for name, pids := range map[string][]int{
		"it is there": {p.PID}, "it has ended": {over, p.Containers[0].PID()}, "it has moved": {other.PID, p.PID},
	} {
		target, owns, err := s.owner(t.Context(), place{pids: pids, net: p.Handle.Identity().Inode})
		if err != nil || !owns || target.PID() != pids[len(pids)-1] {
			t.Errorf("%s: owns %v, %v", name, owns, err)
		}
		if target != nil {
			_ = target.Close()
		}
	}
	target, _, err := s.owner(t.Context(), place{pids: []int{over}, net: p.Handle.Identity().Inode})
	if !hasEnded(err) {
		t.Errorf("got %v", err)
	}
	_ = target.Close()
	for _, at := range w.resolver.places(t.Context()) {
		if at.net == p.Handle.Identity().Inode && (!slices.IsSorted(at.pids) || len(at.pids) != 2) {
			t.Errorf("the pod's processes are %v", at.pids)
		}
	}
}

func TestResolveIPAmbiguous(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.Pod(t, lab.PodSpec{Name: "a"})
	b := w.Pod(t, lab.PodSpec{Name: "b", IP: a.IP})
	r := w.resolverFor(t, Config{Root: rootWith(t, a.PID, b.PID)})
	e := refused(t, r, Query{IP: a.IP.String()}, KindAmbiguous)
	if len(e.Candidates) != 2 || !slices.ContainsFunc(e.Candidates, func(c Candidate) bool { return c.PID == b.PID && c.Netns == b.Handle.Identity().String() }) {
		t.Errorf("candidates are %+v", e.Candidates)
	}
}

// The oldest process of a namespace stands for it, also where its number is not the
// lowest; of those that have ended, none.
func TestOldestProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}}})
	young, inode := p.Containers[0].PID(), p.Handle.Identity().Inode
	root := rootWith(t)
	for number, pid := range map[int]int{3: maxPID, 5: young, 9: p.PID} { // as where the numbers have wrapped round
		if err := os.Symlink("/proc/"+strconv.Itoa(pid), filepath.Join(root, "proc", strconv.Itoa(number))); err != nil {
			t.Fatal(err)
		}
	}
	r := w.resolverFor(t, Config{Root: root})
	for name, q := range map[string]Query{
		"inode": {Netns: strconv.FormatUint(inode, 10)}, "ip": {IP: p.IP.String()}, "path": {Netns: "/proc/9/ns/net"},
	} {
		target := open(t, r, q)
		inside(t, target, p.Handle)
		if target.PID() != p.PID {
			t.Errorf("%s: entered by pid %d, want %d", name, target.PID(), p.PID)
		}
	}
	target := &Target{}
	t.Cleanup(func() { _ = target.Close() })
	other := w.Pod(t, lab.PodSpec{Name: "web-1"})
	if err := w.resolver.adoptFirst(target, []int{maxPID, other.PID, young}, inode); err != nil || target.PID() != young {
		t.Errorf("got pid %d, %v: one has ended, and one is elsewhere", target.PID(), err)
	}
}

// Of several networks with an address, the one that is attached to the node is meant.
func TestResolveIPAttached(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.Pod(t, lab.PodSpec{Name: "a"})
	b := w.Pod(t, lab.PodSpec{Name: "b"})
	handle, err := b.Handle.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	lo, err := handle.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := handle.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: a.IP.AsSlice(), Mask: net.CIDRMask(32, 32)}}); err != nil {
		t.Fatal(err)
	}
	open := func(pids ...int) *Target {
		target, err := w.resolverFor(t, Config{Root: rootWith(t, pids...)}).Resolve(t.Context(), Query{IP: a.IP.String()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = target.Close() })
		return target
	}
	target := open(a.PID, b.PID)
	if target.PID() != a.PID || !target.Attached || !slices.ContainsFunc(target.Notes, func(n Note) bool { return n.Code == "other_owners" }) {
		t.Errorf("pid %d, attached %v, %+v", target.PID(), target.Attached, target.Notes)
	}
	// The only owner is meant wherever it is attached.
	if target := open(b.PID); target.PID() != b.PID || target.Attached {
		t.Errorf("pid %d, attached %v", target.PID(), target.Attached)
	}
}

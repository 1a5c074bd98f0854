package nsexec_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

func newHome(t testing.TB) *nsexec.Home {
	t.Helper()
	home, err := nsexec.NewHome()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := home.Close(); err != nil {
			t.Errorf("close home: %v", err)
		}
	})
	return home
}

// newNetns makes a namespace with lo up that lives as long as the test.
func newNetns(t testing.TB, home *nsexec.Home) *nsexec.Handle {
	t.Helper()
	file := makeNetns(t)
	defer file.Close()
	handle, err := home.OpenPath(t.Context(), fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { handle.Close() })
	return handle
}

// pinNetns makes a namespace and mounts it on a file, as "ip netns add" does.
func pinNetns(t testing.TB) (path string) {
	t.Helper()
	file := makeNetns(t)
	defer file.Close()
	// The private /run of the test binary: everybody may pass through it.
	dir, err := os.MkdirTemp("/run/netns", "test-")
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "pin")
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", path, err)
		}
		os.RemoveAll(dir)
	})
	return path
}

// makeNetns does not go through nsexec, which is what is tested.
func makeNetns(t testing.TB) *os.File {
	t.Helper()
	type result struct {
		file *os.File
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends in the new namespace
		file, err := unshareNetns()
		done <- result{file, err}
	}()
	r := <-done
	if r.err != nil {
		t.Fatalf("make a network namespace: %v", r.err)
	}
	return r.file
}

func unshareNetns() (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return nil, err
	}
	up.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, up); err != nil {
		return nil, err
	}
	return os.Open("/proc/thread-self/ns/net")
}

// blackHoles are addresses whose packets the namespace accepts and loses.
const blackHole4, blackHole6 = "192.0.2.1", "2001:db8::1"

// addBlackHoles routes the documentation prefixes to lo, where nobody has their
// addresses: a connect hangs, without anything leaving the machine.
func addBlackHoles(t testing.TB, target *nsexec.Handle) {
	t.Helper()
	h := routeHandle(t, target)
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"192.0.2.0/24", "2001:db8::/64"} {
		_, dst, err := net.ParseCIDR(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: dst}); err != nil {
			t.Fatalf("route %s: %v", prefix, err)
		}
	}
}

func routeHandle(t testing.TB, target *nsexec.Handle) *netlink.Handle {
	t.Helper()
	h, err := target.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// cookie is the namespace that a socket belongs to.
func cookie(t testing.TB, fd int) uint64 {
	t.Helper()
	c, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		t.Fatalf("SO_NETNS_COOKIE: %v", err)
	}
	return c
}

// sockets are all sockets of this process: inode number to netns cookie.
func sockets(t testing.TB) map[string]uint64 {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]uint64{}
	for _, e := range entries {
		link, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || !strings.HasPrefix(link, "socket:") {
			continue // closed meanwhile, or something else
		}
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if c, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE); err == nil {
			found[link] = c
		}
	}
	return found
}

// counters are those of home that a packet or a connection would move.
func counters(t testing.TB) string {
	t.Helper()
	var found strings.Builder
	data, err := os.ReadFile("/proc/self/net/snmp")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		for j := range names {
			switch names[0] + names[j] {
			case "Ip:OutRequests", "Ip:InReceives", "Icmp:OutMsgs", "Tcp:ActiveOpens", "Tcp:PassiveOpens", "Udp:OutDatagrams", "Udp:InDatagrams":
				fmt.Fprintf(&found, "%s%s=%s ", names[0], names[j], values[j])
			}
		}
	}
	data, err = os.ReadFile("/proc/self/net/snmp6")
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		switch f := strings.Fields(s.Text()); f[0] {
		case "Ip6OutRequests", "Ip6InReceives", "Icmp6OutMsgs", "Udp6OutDatagrams":
			fmt.Fprintf(&found, "%s=%s ", f[0], f[1])
		}
	}
	if n := strings.Count(found.String(), "="); n != 11 {
		t.Fatalf("found %d of 11 counters: %s", n, &found)
	}
	return found.String()
}

// threadsAtHome fails the test unless every thread of the process comes to be
// in the namespace of home. Threads that were retired take a moment to end.
func threadsAtHome(t testing.TB, home *nsexec.Home) {
	t.Helper()
	eventually(t, "every thread at home", func() error {
		tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
		if err != nil {
			return err
		}
		for _, path := range tasks {
			var st unix.Stat_t
			if unix.Stat(path, &st) != nil {
				continue // it ended
			}
			if st.Ino != home.Self().Identity().Inode {
				return fmt.Errorf("%s is net:[%d]", path, st.Ino)
			}
		}
		return nil
	})
}

func countThreads(t testing.TB) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

func countFDs(t testing.TB) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// eventually is for what the kernel or the Go runtime does in the background
// and tells nobody about.
func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Errorf("%s: %v", what, err)
}

// setSysctl writes below /proc/sys/net, which shows the namespace of the thread.
func setSysctl(t testing.TB, target *nsexec.Handle, name, value string) {
	t.Helper()
	err := target.Do(func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) })
	if err != nil {
		t.Fatal(err)
	}
}

// synSent is TCP_SYN_SENT as /proc/net/tcp writes it.
const synSent = "02"

// awaitState waits until the target has a TCP/IPv4 socket in a state whose
// remote port is port. The kernel tells nobody about it.
func awaitState(t testing.TB, target *nsexec.Handle, port int, state string) {
	t.Helper()
	eventually(t, fmt.Sprintf("a connection to port %d in state %s", port, state), func() error {
		var table []byte
		err := target.Do(func() (err error) {
			table, err = os.ReadFile("/proc/thread-self/net/tcp")
			return err
		})
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(table)) {
			if f := strings.Fields(line); strings.HasSuffix(f[2], fmt.Sprintf(":%04X", port)) && f[3] == state {
				return nil
			}
		}
		return fmt.Errorf("not in:\n%s", table)
	})
}

package lab_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"nsenter-mcp/internal/lab"
)

// serve answers on the pod's port 80 with a text.
func serve(t *testing.T, n *lab.Netns, text string) {
	t.Helper()
	_, err := n.Serve(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, text)
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// get asks for http://ADDRESS:PORT/ from inside a namespace.
func get(from *lab.Netns, to netip.Addr, port uint16) (string, error) {
	resp, err := from.HTTPClient().Get("http://" + netip.AddrPortFrom(to, port).String())
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func wantGet(t *testing.T, from *lab.Netns, to netip.Addr, port uint16, want string) {
	t.Helper()
	if got, err := get(from, to, port); err != nil || got != want {
		t.Errorf("from %s to %s: got %q, %v, want %q", from.IP, to, got, err, want)
	}
}

// Pods of both styles and both families, nodes, on one node and across two.
func TestEverybodyReachesEverybody(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	second, err := l.AddNode()
	if err != nil {
		t.Fatal(err)
	}
	pods := l.Pods(t,
		lab.PodSpec{Name: "bridge", IPv6: true},
		lab.PodSpec{Name: "bridge2", IPv6: true},
		lab.PodSpec{Name: "calico", IPv6: true, Style: lab.Calico},
		lab.PodSpec{Name: "calico2", IPv6: true, Style: lab.Calico},
		lab.PodSpec{Name: "far-bridge", IPv6: true, Node: second},
		lab.PodSpec{Name: "far-calico", IPv6: true, Node: second, Style: lab.Calico},
	)
	places := map[string]*lab.Netns{"node": l.Node.Netns, "far-node": second.Netns}
	for _, p := range pods {
		places[p.Name] = p.Netns
	}
	for name, n := range places {
		serve(t, n, name)
	}
	for fromName, from := range places {
		for name, to := range places {
			t.Run(fromName+" to "+name, func(t *testing.T) {
				wantGet(t, from, to.IP, 80, name)
				wantGet(t, from, to.IP6, 80, name)
			})
		}
	}
	// Pods and nodes are ready when they are returned: no first packet is lost,
	// which would show as a retransmission a second later.
	for name, n := range places {
		if lost := counter(t, n, "TcpExt", "TCPTimeouts"); lost != "0" {
			t.Errorf("%s: %s timeouts", name, lost)
		}
	}
}

// counter reads one of /proc/net/netstat inside a namespace.
func counter(t *testing.T, n *lab.Netns, group, name string) string {
	t.Helper()
	var table []byte
	err := n.Handle.Do(func() (err error) {
		table, err = os.ReadFile("/proc/thread-self/net/netstat")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if fields[0] != group+":" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		return fields[slices.Index(names, name)]
	}
	t.Fatalf("no counter %s %s", group, name)
	return ""
}

func TestCalicoPod(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	p := l.Pod(t, lab.PodSpec{Style: lab.Calico})
	if p.Bits != 32 || !strings.HasPrefix(p.HostLink, "cali") {
		t.Errorf("got %s/%d on %s", p.IP, p.Bits, p.HostLink)
	}
	serve(t, l.Node.Netns, "node")
	wantGet(t, p.Netns, l.Node.IP, 80, "node")
	neighbours, err := p.Output("ip", "neigh")
	if err != nil {
		t.Fatal(err)
	}
	// The only neighbour is the gateway, with the address of the node's end.
	if got := string(neighbours); !strings.HasPrefix(got, "169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee") || strings.Count(got, "\n") != 1 {
		t.Errorf("neighbours: %s", got)
	}
	links, err := p.Output("ip", "-d", "link", "show", "tunl0")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(links), "state DOWN") || !strings.Contains(string(links), "mtu 1480") {
		t.Errorf("tunl0 (%s): %s", p.Tunnel, links)
	}
	t.Logf("tunl0 is of kind %s", p.Tunnel)
}

func TestPlainAndHostNetwork(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	plain := l.Pod(t, lab.PodSpec{Style: lab.Plain})
	if out, err := plain.Output("ip", "-o", "link", "show", "up"); err != nil || strings.Count(string(out), "\n") != 1 {
		t.Errorf("plain pod: %s %v", out, err)
	}
	host := l.Pod(t, lab.PodSpec{Style: lab.HostNetwork})
	if !host.Handle.Identity().Same(l.Node.Handle.Identity()) {
		t.Error("a pod with host network is not in its node's namespace")
	}
	if l.Node.Handle.Identity().Same(l.Home.Self().Identity()) {
		t.Error("the node is the process's own namespace")
	}
}

func TestServices(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	pods := l.Pods(t,
		lab.PodSpec{Name: "a", IPv6: true},
		lab.PodSpec{Name: "b", IPv6: true},
		lab.PodSpec{Name: "c", IPv6: true, Style: lab.Calico},
	)
	var all []netip.Addr
	for _, p := range pods {
		serve(t, p.Netns, p.Name)
		all = append(all, p.IP)
	}
	add := func(spec lab.ServiceSpec) netip.Addr {
		t.Helper()
		s, err := l.AddService(spec)
		if err != nil {
			t.Fatal(err)
		}
		return s.IP
	}
	three := add(lab.ServiceSpec{Name: "three", Port: 8080, TargetPort: 80, Backends: all})
	six := add(lab.ServiceSpec{IP: netip.MustParseAddr("fd00:10:96::1"), Port: 80, Backends: []netip.Addr{pods[0].IP6}})
	none := add(lab.ServiceSpec{Name: "none", Port: 8080})
	later, err := l.AddNode() // has to learn of what is there
	if err != nil {
		t.Fatal(err)
	}
	far := l.Pod(t, lab.PodSpec{Name: "far", Node: later, IPv6: true})

	for _, from := range []*lab.Netns{pods[0].Netns, pods[2].Netns, far.Netns, l.Node.Netns} {
		// Enough tries to see all three but once in 10^9 runs.
		seen := map[string]bool{}
		for range 60 {
			name, err := get(from, three, 8080)
			if err != nil {
				t.Fatalf("from %s: %v", from.IP, err)
			}
			seen[name] = true
		}
		if len(seen) != 3 {
			t.Errorf("from %s: backends seen %v", from.IP, seen)
		}
		wantGet(t, from, six, 80, "a")
		if _, err := get(from, none, 8080); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("from %s to a service without backends: %v", from.IP, err)
		}
	}
	if _, err := l.AddService(lab.ServiceSpec{Port: 80, Backends: []netip.Addr{pods[0].IP6}}); err == nil {
		t.Error("mixed families were accepted")
	}
}

// Labs with the same addresses in one process do not meet.
func TestLabsSideBySide(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			l := lab.Start(t)
			pods := l.Pods(t, lab.PodSpec{}, lab.PodSpec{})
			serve(t, pods[0].Netns, fmt.Sprint(i))
			for range 20 {
				wantGet(t, pods[1].Netns, pods[0].IP, 80, fmt.Sprint(i))
			}
		})
	}
	wg.Wait()
}

// Close leaves no process, no mount, no descriptor, no file.
func TestCloseLeavesNothing(t *testing.T) { // not parallel: counts what the process has
	lab.Start(t).Close() // what is opened once per process is open now
	before := inventory(t)
	for range 3 {
		l, err := lab.New()
		if err != nil {
			t.Fatal(err)
		}
		pods := l.Pods(t, lab.PodSpec{Containers: []lab.ContainerSpec{{}}}, lab.PodSpec{Style: lab.Calico})
		serve(t, pods[0].Netns, "x")
		wantGet(t, pods[1].Netns, pods[0].IP, 80, "x")
		if _, err := l.Node.Engine(); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("closed twice: %v", err)
		}
		if _, err := l.AddPod(lab.PodSpec{}); err == nil {
			t.Error("a closed lab made a pod")
		}
	}
	if after := inventory(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// inventory lists descriptors, mounts, children and lab files of the process.
func inventory(t *testing.T) string {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && !strings.HasSuffix(to, "/fd") {
			lines = append(lines, "fd "+strings.TrimRight(to, "[]0123456789"))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	lines = append(lines, "mounts "+string(mounts))
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		children, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children") // the thread may end
		if len(children) > 0 {
			lines = append(lines, "children "+string(children))
		}
	}
	for _, dir := range []string{"/run", "/run/netns"} {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			lines = append(lines, dir+"/"+f.Name())
		}
	}
	return strings.Join(lines, "\n")
}

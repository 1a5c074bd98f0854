package tools

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// TestCurlUnderAnOperatorsPolicy: what is refused by default, the operator may
// allow.
func TestCurlUnderAnOperatorsPolicy(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, func(c *dispatch.Config) {
		c.Policy.UnsafeMethods = true
		c.Policy.Destinations.Except = []netip.Prefix{netip.MustParsePrefix("169.254.20.10/32")}
	})
	pods := b.lab.Pods(t, lab.PodSpec{Name: "client", Namespace: "shop"}, lab.PodSpec{Name: "web", Namespace: "shop"})
	at, err := pods[1].Serve(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+" ")
		_, _ = io.Copy(w, r.Body)
	}))
	if err != nil {
		t.Fatal(err)
	}
	_, data := succeed[fact.Fetch](t, b, "netns_curl", curlArgs("http://"+at.String(), "method", "PUT", "body", "text"))
	if data.Outcome != fact.OutcomeOK || data.Untrusted.Body != "PUT text" {
		t.Errorf("%+v", data)
	}
	if _, data := succeed[fact.Fetch](t, b, "netns_curl", curlArgs("http://169.254.20.10/", "timeout_ms", 300)); data.Stage != fact.StageConnect {
		t.Errorf("%+v", data)
	}
	fail(t, b, dispatch.CodeDestinationDenied, "netns_curl", curlArgs("http://169.254.20.11/"))
	// A link-local gateway counts where an address of the interface is on its link, not
	// where a route alone says so.
	calico := b.lab.Pod(t, lab.PodSpec{Name: "routed", Namespace: "shop", Style: lab.Calico})
	fail(t, b, dispatch.CodeDestinationDenied, "netns_curl", map[string]any{"pid": calico.PID, "url": "http://169.254.1.1:9/"})
	routes, err := calico.Handle.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer routes.Close()
	link, err := routes.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	address := &net.IPNet{IP: net.IPv4(169, 254, 1, 2), Mask: net.CIDRMask(30, 32)}
	if err := routes.AddrAdd(link, &netlink.Addr{IPNet: address}); err != nil {
		t.Fatal(err)
	}
	if _, data = succeed[fact.Fetch](t, b, "netns_curl", map[string]any{"pid": calico.PID, "url": "http://169.254.1.1:9/", "timeout_ms": 3000}); data.Stage != fact.StageConnect {
		t.Errorf("%+v", data)
	}
}

// TestLoopbackOfTheNodeIsRefused: from the node's own network, however it is written,
// unless the operator's file allows it. That of a pod is the pod's.
func TestLoopbackOfTheNodeIsRefused(t *testing.T) {
	t.Parallel()
	for _, allowed := range []bool{false, true} {
		b := newTestbench(t, func(c *dispatch.Config) { c.Policy.Destinations.HostLoopback = allowed })
		b.lab.Pod(t, lab.PodSpec{Name: "client", Namespace: "shop"})
		for _, host := range []string{"127.0.0.1", "127.1", "0", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"} {
			args := map[string]any{"netns": "host", "url": "http://" + host + ":9/", "timeout_ms": 10000}
			if allowed {
				succeed[fact.Fetch](t, b, "netns_curl", args)
			} else if e := fail(t, b, dispatch.CodeDestinationDenied, "netns_curl", args); !strings.Contains(e.Hint, "allow_host_loopback") {
				t.Errorf("%s: the hint is %q", host, e.Hint)
			}
		}
		succeed[fact.Fetch](t, b, "netns_curl", curlArgs("http://127.0.0.1:9/"))
		server := map[string]any{"netns": "host", "name": "a.test", "server": "127.0.0.1:9", "timeout_ms": 10000}
		if !allowed {
			fail(t, b, dispatch.CodeDestinationDenied, "netns_dns_lookup", server)
		}
	}
}

// TestNameserversHeedThePolicy: what a pod's own resolv.conf names is asked nothing
// where the operator denies it, or where it is not the address of one host.
func TestNameserversHeedThePolicy(t *testing.T) {
	t.Parallel()
	const denied = "10.244.1.66"
	b := newTestbench(t, func(c *dispatch.Config) {
		withDNSLookup(c)
		c.Policy.Destinations.Deny = []netip.Prefix{netip.MustParsePrefix(denied + "/32")}
	})
	server := b.lab.Pod(t, lab.PodSpec{Name: "server", Namespace: "shop"})
	heard, err := server.ListenPacket("udp4", "0.0.0.0:53") // also what is broadcast
	if err != nil {
		t.Fatal(err)
	}
	network := netip.PrefixFrom(server.IP, 24).Masked().Addr().As4()
	network[3] = 255
	directed := netip.AddrFrom4(network).String()
	clients := map[string]*lab.Pod{}
	for name, nameserver := range map[string]string{"denied": denied, "multicast": "224.0.0.251", "limited": "255.255.255.255", "directed": directed} {
		clients[name] = b.lab.Pod(t, lab.PodSpec{Name: name, Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}},
			Files: lab.FileSpec{ResolvConf: "nameserver " + nameserver + "\noptions timeout:1 attempts:1\n"}})
		args := map[string]any{"pod": "shop/" + name, "name": "a.test.", "timeout_ms": 10000}
		if name != "directed" {
			if e := fail(t, b, dispatch.CodeDestinationDenied, dnsLookupTool, args); !strings.Contains(e.Message, nameserver) {
				t.Errorf("%s: %s", name, e.Message)
			}
			continue
		}
		answer, found := succeed[fact.DNSLookup](t, b, dnsLookupTool, args)
		if found.Outcome != "unreachable" || !strings.Contains(fmt.Sprint(answer.Findings), "(EACCES): a route of the target prohibits the query, or the nameserver is a broadcast address there") {
			t.Errorf("%s: %s %+v", name, found.Outcome, answer.Findings)
		}
	}
	// The first that is heard is what is sent now.
	conn, err := clients["directed"].Handle.DialContext(t.Context(), "udp4", netip.AddrPortFrom(server.IP, 53).String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "last"); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 512)
	n, from, err := heard.ReadFrom(buffer)
	if err != nil || string(buffer[:n]) != "last" {
		t.Errorf("heard %q from %v, %v", buffer[:n], from, err)
	}
}

// What is proposed can be sent: not a comparison with the node where that is
// closed.
func TestNextHeedsThePolicy(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{false, true} {
		b := newTestbench(t, func(c *dispatch.Config) { c.Policy.NoHostNetwork = closed })
		b.lab.Pod(t, lab.PodSpec{Name: "client", Namespace: "shop"})
		answer, _ := succeed[fact.Fetch](t, b, "netns_curl", curlArgs("http://10.244.1.77/", "timeout_ms", 500))
		onHost := slices.ContainsFunc(answer.Next, func(n dispatch.Next) bool { return n.Arguments["netns"] == "host" })
		if onHost == closed {
			t.Errorf("closed %v: %+v", closed, answer.Next)
		}
	}
}

// TestNextIsNotSteered: an address that a pod's hosts file chose is not asked for from
// the node where it is the node's own.
func TestNextIsNotSteered(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, nil)
	node := b.lab.Node.IP.String()
	b.lab.Pod(t, lab.PodSpec{Name: "client", Namespace: "shop", Files: lab.FileSpec{Hosts: node + " api\n10.244.1.77 other\n169.254.7.7 link\n"}})
	onHost := func(name string) bool {
		answer, _ := succeed[fact.Fetch](t, b, "netns_curl", curlArgs("http://"+name+":9/", "timeout_ms", 3000))
		return slices.ContainsFunc(answer.Next, func(n dispatch.Next) bool { return n.Arguments["netns"] == "host" })
	}
	if onHost("api") {
		t.Error("the node's own address is asked for from the node")
	}
	if !onHost("other") {
		t.Error("another address is not asked for from the node")
	}
}

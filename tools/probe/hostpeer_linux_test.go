package probe

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// withPeers reads the links of a pod together with the node's side.
func withPeers(t testing.TB, ns *lab.Netns) []fact.Link {
	t.Helper()
	links := readLinks(t, ns)
	if err := HostPeers(context.Background(), ns.Handle, ns.Node.Handle, links, LinkOptions{Details: true}); err != nil {
		t.Fatal(err)
	}
	return links
}

func TestHostPeerOnBridge(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	pod := l.Pod(t, lab.PodSpec{MTU: 1450})
	peer := findLink(t, withPeers(t, pod.Netns), "eth0").HostPeer
	if peer == nil {
		t.Fatal("no host_peer")
	}
	want := findLink(t, readLinks(t, l.Node.Netns), pod.HostLink)
	if peer.Name != pod.HostLink || peer.Index != want.Index || !peer.Up || peer.State != "UP" || peer.MTU != 1450 ||
		peer.Bridge != "cni0" || peer.BridgeKind != "" || peer.Route != nil || peer.IPv6 != nil {
		t.Errorf("host_peer %+v", peer)
	}
	if peer.BridgePort["state"] != "forwarding" {
		t.Errorf("port settings %v", peer.BridgePort)
	}
}

func TestHostPeerRouted(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	pod := l.Pod(t, lab.PodSpec{Style: lab.Calico})
	peer := findLink(t, withPeers(t, pod.Netns), "eth0").HostPeer
	if peer == nil {
		t.Fatal("no host_peer")
	}
	if peer.Name != pod.HostLink || peer.Bridge != "" || peer.BridgePort != nil {
		t.Errorf("host_peer %+v", peer)
	}
	if r := peer.Route; r == nil || *r != (fact.HostRoute{To: pod.IP.String(), Dev: pod.HostLink, Kind: "veth"}) {
		t.Errorf("route %+v", peer.Route)
	}
}

func TestHostPeerWithoutRoute(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	pod := l.Pod(t, lab.PodSpec{Style: lab.Calico})
	batch(t, l.Node.Netns, fmt.Sprintf(`
		route del %s
		route add unreachable %s`, pod.IP, pod.IP))
	peer := findLink(t, withPeers(t, pod.Netns), "eth0").HostPeer
	if peer == nil || peer.Route == nil || *peer.Route != (fact.HostRoute{To: pod.IP.String()}) {
		t.Errorf("host_peer %+v", peer)
	}
}

// TestPeerInThirdNamespace: the other ends have the very indexes of links on
// the host, which must not be taken for them.
func TestPeerInThirdNamespace(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	pod, other := l.Pod(t, lab.PodSpec{}), l.Pod(t, lab.PodSpec{Style: lab.Plain})
	name := filepath.Base(other.Path)
	var commands string
	decoys := map[string]bool{}
	for _, link := range readLinks(t, l.Node.Netns) {
		if link.Index == 1 { // lo is there already
			continue
		}
		decoy := fmt.Sprintf("net%d", link.Index)
		decoys[decoy] = true
		commands += fmt.Sprintf("link add %s type veth peer name peer%d index %d netns %s\n", decoy, link.Index, link.Index, name)
	}
	batch(t, pod.Netns, commands)
	links := withPeers(t, pod.Netns)
	for i := range links {
		link := &links[i]
		if decoys[link.Name] && (link.HostPeer != nil || link.PeerNetnsID == nil || *link.PeerNetnsID != *link.LinkNetnsID) {
			t.Errorf("%s: host_peer %+v, peer_netnsid %v", link.Name, link.HostPeer, link.PeerNetnsID)
		}
	}
	if eth0 := findLink(t, links, "eth0"); eth0.HostPeer == nil || eth0.HostPeer.Name != pod.HostLink || eth0.PeerNetnsID != nil {
		t.Errorf("eth0: host_peer %+v, peer_netnsid %v", eth0.HostPeer, eth0.PeerNetnsID)
	}
}

func TestPeerInSameNamespace(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	pod := l.Pod(t, lab.PodSpec{Style: lab.Plain})
	batch(t, pod.Netns, "link add v0 type veth peer name v1")
	for _, link := range withPeers(t, pod.Netns) {
		if link.HostPeer != nil || link.PeerNetnsID != nil {
			t.Errorf("%s: host_peer %+v, peer_netnsid %v", link.Name, link.HostPeer, link.PeerNetnsID)
		}
	}
}

// TestPeerReplaced: between the two reads the pair went away and something
// else took its index on the host.
func TestPeerReplaced(t *testing.T) {
	t.Parallel()
	for name, replacement := range map[string]string{
		"nothing":             "",
		"pair within host":    "link add new index %d type veth peer name new2",
		"bridge":              "link add new index %d type bridge",
		"pair to another pod": "link add new index %d type veth peer name new2 index %d netns %s",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.Start(t)
			pod, other := l.Pod(t, lab.PodSpec{}), l.Pod(t, lab.PodSpec{Style: lab.Plain})
			links := readLinks(t, pod.Netns)
			eth0 := findLink(t, links, "eth0")
			commands := "link del " + pod.HostLink + "\n"
			switch name {
			case "nothing":
			case "pair to another pod":
				commands += fmt.Sprintf(replacement, *eth0.LinkIndex, eth0.Index, filepath.Base(other.Path))
			default:
				commands += fmt.Sprintf(replacement, *eth0.LinkIndex)
			}
			batch(t, l.Node.Netns, commands)
			if err := HostPeers(context.Background(), pod.Handle, l.Node.Handle, links, LinkOptions{Details: true}); err != nil {
				t.Fatal(err)
			}
			if eth0.HostPeer != nil {
				t.Errorf("host_peer %+v", eth0.HostPeer)
			}
		})
	}
}

// TestHostHasNoHostPeers: the host's own pairs lead into pods.
func TestHostHasNoHostPeers(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	l.Pod(t, lab.PodSpec{})
	for _, link := range withPeers(t, l.Node.Netns) {
		if link.HostPeer != nil || link.PeerNetnsID != nil {
			t.Errorf("%s: host_peer %+v, peer_netnsid %v", link.Name, link.HostPeer, link.PeerNetnsID)
		}
	}
}

func TestHostPeerIPv6(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	pod := l.Pod(t, lab.PodSpec{IPv6: true})
	if err := pod.Break("IPv6 disabled beside others that have it"); err != nil {
		t.Fatal(err)
	}
	eth0 := findLink(t, withPeers(t, pod.Netns), "eth0")
	if eth0.IPv6Disabled == nil || !*eth0.IPv6Disabled {
		t.Errorf("disable_ipv6 %v", eth0.IPv6Disabled)
	}
	_, prefix := l.Node.PodPrefixes(lab.Bridge)
	if gateway := prefix.Addr().Next().String(); eth0.HostPeer == nil || len(eth0.HostPeer.IPv6) != 1 || eth0.HostPeer.IPv6[0] != gateway {
		t.Errorf("host_peer %+v, want IPv6 %s", eth0.HostPeer, gateway)
	}
}

func TestManyHostPeers(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	pod := l.Pod(t, lab.PodSpec{Style: lab.Plain})
	const pairs = 300
	var commands string
	for i := range pairs {
		commands += fmt.Sprintf("link add h%d type veth peer name p%d netns %s\n", i, i, filepath.Base(pod.Path))
	}
	batch(t, l.Node.Netns, commands)
	found := 0
	for _, link := range withPeers(t, pod.Netns) {
		if link.HostPeer != nil {
			found++
			if link.HostPeer.Name[1:] != link.Name[1:] {
				t.Errorf("%s has host_peer %s", link.Name, link.HostPeer.Name)
			}
		}
	}
	if found != pairs {
		t.Errorf("%d host peers, want %d", found, pairs)
	}
}

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
)

// Node is a network namespace that pods are joined to.
type Node struct {
	Name   string
	Number int // 1 for the first; the N of its pods' addresses
	*Netns

	mu    sync.Mutex
	hosts map[byte]bool // last bytes of pod addresses that are taken
	// bridgeIndex is that of cni0, 0 before the first pod of style Bridge.
	bridgeIndex int
}

// AddNode makes another node and the routes between all nodes and their pods.
func (l *Lab) AddNode() (*Node, error) {
	l.topology.Lock()
	defer l.topology.Unlock()
	others := l.Nodes()
	number := len(others) + 1
	if number > maxNodes {
		return nil, fmt.Errorf("a lab has at most %d nodes", maxNodes)
	}
	netns, err := l.newNetns()
	if err != nil {
		return nil, err
	}
	n := &Node{Netns: netns, Number: number, Name: fmt.Sprintf("node-%d", number), hosts: map[byte]bool{}}
	n.Node, n.Style = n, HostNetwork
	n.IP, n.Bits = netip.AddrFrom4([4]byte{172, 18, 0, byte(number + 1)}), 16
	n.IP6, n.Bits6 = v6(0x172, 0x18, 0, byte(number+1)), 64
	if err := n.makeNode(); err != nil {
		return nil, fmt.Errorf("node %s: %w", n.Name, err)
	}
	for _, o := range others {
		if err := errors.Join(n.addPeer(o), o.addPeer(n)); err != nil {
			return nil, fmt.Errorf("routes between %s and %s: %w", n.Name, o.Name, err)
		}
	}
	if err := n.setServices(l.allServices()); err != nil {
		return nil, fmt.Errorf("node %s: services: %w", n.Name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes = append(l.nodes, n)
	return n, nil
}

const maxNodes = 200

// The switch between the nodes is also where their default routes end.
var wireIP, wireIP6 = netip.AddrFrom4([4]byte{172, 18, 0, 1}), v6(0x172, 0x18, 0, 1)

// PodPrefixes are the addresses of the node's pods of a style, IPv4 and IPv6.
func (n *Node) PodPrefixes(style Style) (netip.Prefix, netip.Prefix) {
	number := byte(n.Number)
	if style == Calico {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 121, number, 0}), 24),
			netip.PrefixFrom(v6(0x100, 0x121, number, 0), 64)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, number, 0}), 24),
		netip.PrefixFrom(v6(0x10, 0x244, number, 0), 64)
}

// gateway is the bridge's address, the first of a prefix.
func gateway(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(p.Addr().Next(), p.Bits())
}

// v6 is fd00:a:b:net::host, written as the IPv4 address it belongs to.
func v6(a, b uint16, net, host byte) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfd, 0, byte(a >> 8), byte(a), byte(b >> 8), byte(b), 0, net, 15: host})
}

// takeHost reserves the last byte of a pod's address: the wanted one where it
// is free, else the next. All styles count together, so that no two pods of a
// node end in the same byte.
func (n *Node) takeHost(wanted byte) (byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if wanted != 0 && !n.hosts[wanted] {
		n.hosts[wanted] = true
		return wanted, nil
	}
	for b := byte(10); b < 255; b++ {
		if !n.hosts[b] {
			n.hosts[b] = true
			return b, nil
		}
	}
	return 0, fmt.Errorf("node %s has no free pod address", n.Name)
}

func (n *Node) giveHost(b byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.hosts, b)
}

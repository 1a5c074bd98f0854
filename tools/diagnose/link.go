package diagnose

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"nsenter-mcp/tools/fact"
)

// LinkEvidence is what the rules for links and addresses judge.
type LinkEvidence fact.LinkEvidence

// linkRules in the order of gravity.
var linkRules = [...]struct {
	onHost bool // also judges the host's own interfaces
	judge  func(LinkEvidence) []fact.Finding
}{
	{false, linkMissing},
	{false, linkDown},
	{false, linkNoCarrier},
	{false, linkDetached},
	{false, bridgeDown},
	{true, addrDuplicate},
	{false, addrNone},
	{false, noDefaultRoute},
	{true, addrTentative},
	{true, loopbackDown},
	{false, mtuMismatch},
	{false, ipv6Disabled},
	{true, linkErrors},
}

// Links returns the faults that e proves, the gravest first.
func Links(e LinkEvidence) []fact.Finding {
	var findings []fact.Finding
	for _, rule := range linkRules {
		if rule.onHost || !e.Host {
			findings = append(findings, rule.judge(e)...)
		}
	}
	return findings
}

// linkMissing: nothing but a loopback. A container that was started without a
// network looks the same.
func linkMissing(e LinkEvidence) []fact.Finding {
	if len(e.Links) == 0 || slices.ContainsFunc(e.Links, func(l fact.Link) bool { return !isLoopback(&l) && !isFallback(&l) }) {
		return nil
	}
	return finding(LinkMissing, "the target has no interface but lo: no network was attached, or the interface was removed")
}

func linkDown(e LinkEvidence) []fact.Finding {
	var findings []fact.Finding
	for l := range e.uplinks() {
		if !l.Up() && e.needs(l) {
			findings = append(findings, finding(LinkDown, "%s is administratively down%s", l.Name, having(l))...)
		}
	}
	return findings
}

func linkNoCarrier(e LinkEvidence) []fact.Finding {
	var findings []fact.Finding
	for l := range e.uplinks() {
		if !l.Up() || l.Carrier == nil || *l.Carrier || !e.needs(l) {
			continue
		}
		why := ""
		switch peer := l.HostPeer; {
		case peer != nil && !peer.Up:
			why = fmt.Sprintf(": its other end on the host, %s, is administratively down", peer.Name)
		case peer != nil:
			why = fmt.Sprintf(": its other end on the host, %s, has state %s", peer.Name, peer.State)
		case l.PeerNetnsID != nil:
			why = ": its other end is in another namespace than the host's"
		}
		findings = append(findings, finding(LinkNoCarrier, "%s is up but has no carrier%s", l.Name, why)...)
	}
	return findings
}

// linkDetached: the host delivers the pod's address to a bridge on which the
// pod is no port. That the host's end has no bridge proves nothing alone: CNIs
// that route to the pod (Calico, ptp, AWS) have none, but their route leads to
// the pair itself.
func linkDetached(e LinkEvidence) []fact.Finding {
	var findings []fact.Finding
	for l := range e.uplinks() {
		peer := l.HostPeer
		if peer == nil || peer.Bridge != "" || peer.Route == nil {
			continue
		}
		if r := peer.Route; r.Kind == "bridge" && r.Via == "" {
			findings = append(findings, finding(LinkDetached,
				"the host delivers %s to bridge %s, but %s, the host's end of %s, is on no bridge",
				r.To, r.Dev, peer.Name, l.Name)...)
		}
	}
	return findings
}

// bridgeDown: a bridge that is down forwards nothing, while its ports keep their
// carrier.
func bridgeDown(e LinkEvidence) []fact.Finding {
	var findings []fact.Finding
	for l := range e.uplinks() {
		if peer := l.HostPeer; peer != nil && peer.BridgeUp != nil && !*peer.BridgeUp {
			findings = append(findings, finding(LinkBridgeDown,
				"%s on the host is administratively down, and so passes nothing to its port %s, the other end of %s",
				peer.Bridge, peer.Name, l.Name)...)
		}
	}
	return findings
}

func loopbackDown(e LinkEvidence) []fact.Finding {
	for i := range e.Links {
		if l := &e.Links[i]; isLoopback(l) && !l.Up() {
			return finding(LinkLoDown, "%s is down: nothing answers on 127.0.0.1 or ::1", l.Name)
		}
	}
	return nil
}

// A handful of errors since the interface was made is history, not a fault.
const (
	fewErrors    = 10
	errorPercent = 1
)

func linkErrors(e LinkEvidence) []fact.Finding {
	var findings []fact.Finding
	for i := range e.Links {
		l := &e.Links[i]
		if l.Stats64 == nil || isLoopback(l) || isFallback(l) {
			continue
		}
		if rx := l.Stats64.RX; manyErrors(rx) {
			findings = append(findings, finding(LinkErrors,
				"%s received %d packets and %d with errors", l.Name, rx["packets"], rx["errors"])...)
		}
		if tx := l.Stats64.TX; manyErrors(tx) {
			findings = append(findings, finding(LinkErrors,
				"%s sent %d packets and failed to send %d", l.Name, tx["packets"], tx["errors"])...)
		}
	}
	return findings
}

func manyErrors(c fact.Counters) bool {
	errors, packets := float64(c["errors"]), float64(c["packets"])
	return errors >= fewErrors && errors*100 >= errorPercent*(packets+errors)
}

func mtuMismatch(e LinkEvidence) []fact.Finding {
	var findings []fact.Finding
	for i := range e.Links {
		findings = append(findings, MTUMismatch(&e.Links[i])...)
	}
	return findings
}

// MTUMismatch judges one link: an end of a pair drops what is larger than its own
// MTU, but for what is still to be cut into segments (__is_skb_forwardable in the
// kernel's include/linux/netdevice.h).
func MTUMismatch(l *fact.Link) []fact.Finding {
	peer := l.HostPeer
	if peer == nil || l.MTU == nil || *l.MTU == peer.MTU || !l.Up() {
		return nil
	}
	from := "sent from inside"
	if *l.MTU < peer.MTU {
		from = "sent to it"
	}
	return finding(LinkMTUMismatch,
		"%s has mtu %d, its other end on the host, %s, has %d: packets above %d bytes %s may be dropped",
		l.Name, *l.MTU, peer.Name, peer.MTU, min(*l.MTU, peer.MTU), from)
}

// addrNone: a link is up and no link has an address. One link without an
// address beside another that has some is normal (layer 2 only).
func addrNone(e LinkEvidence) []fact.Finding {
	up := ""
	for i := range e.Links {
		l := &e.Links[i]
		if l.AddrInfo == nil || !isLoopback(l) && len(routable(l)) > 0 {
			return nil
		}
	}
	for l := range e.uplinks() {
		if l.Up() && up == "" {
			up = l.Name
		}
	}
	if up == "" {
		return nil
	}
	return finding(AddrNone, "%s is up, but no interface has an address beyond link-local", up)
}

func addrDuplicate(e LinkEvidence) []fact.Finding {
	return e.eachAddress(func(l *fact.Link, a *fact.Addr) []fact.Finding {
		if !a.DADFailed {
			return nil
		}
		return finding(AddrDuplicate, "another host on the link already has %s, so %s does not use the address", a.Local, l.Name)
	})
}

// dadTime is longer than duplicate address detection takes by default: a delay
// of up to 1 s, one probe, 1 s of silence (RFC 4862, section 5.4).
const dadTime = 5 * time.Second

func addrTentative(e LinkEvidence) []fact.Finding {
	return e.eachAddress(func(l *fact.Link, a *fact.Addr) []fact.Finding {
		running := l.Up() && l.Carrier != nil && *l.Carrier
		if !a.Tentative || a.DADFailed || a.Optimistic || !running || a.Age < dadTime {
			return nil
		}
		return finding(AddrTentative,
			"%s on %s is still tentative %d s after the address was added, and cannot be used yet", a.Local, l.Name, int(a.Age.Seconds()))
	})
}

// ipv6Disabled: the host's side of the same link has IPv6. Without that,
// disabled is what IPv4-only clusters want.
func ipv6Disabled(e LinkEvidence) []fact.Finding {
	var findings []fact.Finding
	for l := range e.uplinks() {
		peer := l.HostPeer
		if l.IPv6Disabled == nil || !*l.IPv6Disabled || peer == nil || len(peer.IPv6) == 0 {
			continue
		}
		where := peer.Name
		if peer.Bridge != "" {
			where = peer.Bridge
		}
		findings = append(findings, finding(AddrIPv6Disabled,
			"%s has IPv6 disabled (sysctl disable_ipv6), while %s on the host has %s", l.Name, where, peer.IPv6[0])...)
	}
	return findings
}

func finding(code fact.Code, format string, args ...any) []fact.Finding {
	return []fact.Finding{{Code: code, Fact: fmt.Sprintf(format, args...)}}
}

// uplinks iterates over the links by which a pod may be attached to something
// outside. Bridges, dummies and tunnels that a container made for itself, and
// the ports of its bridges, are none.
func (e LinkEvidence) uplinks() iter.Seq[*fact.Link] {
	return func(yield func(*fact.Link) bool) {
		for i := range e.Links {
			if l := &e.Links[i]; isUplink(l) && !yield(l) {
				return
			}
		}
	}
}

func isUplink(l *fact.Link) bool {
	if isLoopback(l) || isFallback(l) || l.Master != "" {
		return false
	}
	switch l.Kind() {
	case "", "veth", "netkit", "macvlan", "macvtap", "ipvlan", "ipvtap", "vlan":
		return true
	}
	return false
}

// needs reports whether the pod depends on l: it has addresses there, or no
// other uplink works. A spare one that is down is no fault.
func (e LinkEvidence) needs(l *fact.Link) bool {
	if len(routable(l)) > 0 {
		return true
	}
	for other := range e.uplinks() {
		if other != l && other.Up() && other.Carrier != nil && *other.Carrier && len(routable(other)) > 0 {
			return false
		}
	}
	return true
}

func (e LinkEvidence) eachAddress(judge func(*fact.Link, *fact.Addr) []fact.Finding) []fact.Finding {
	var findings []fact.Finding
	for i := range e.Links {
		l := &e.Links[i]
		for j := range l.AddrInfo {
			findings = append(findings, judge(l, &l.AddrInfo[j])...)
		}
	}
	return findings
}

// routable are the addresses of l that reach further than the link.
func routable(l *fact.Link) []fact.Addr {
	var found []fact.Addr
	for _, a := range l.AddrInfo {
		if a.Scope != "link" && a.Scope != "host" && a.Scope != "nowhere" {
			found = append(found, a)
		}
	}
	return found
}

func having(l *fact.Link) string {
	var addresses []string
	for _, a := range routable(l) {
		addresses = append(addresses, fmt.Sprintf("%s/%d", a.Local, a.PrefixLen))
	}
	if len(addresses) == 0 {
		return ""
	}
	return "; its address is " + strings.Join(addresses[:min(len(addresses), 2)], ", ")
}

func isLoopback(l *fact.Link) bool { return l.LinkType == "loopback" }

// isFallback reports whether l is one of the devices that tunnel modules put
// into each namespace (sysctl net.core.fb_tunnels_only_for_init_net), and
// nobody uses it.
func isFallback(l *fact.Link) bool {
	switch l.Name {
	case "tunl0", "sit0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6tnl0", "ip6gre0":
		return !l.Up()
	}
	return false
}

package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Faults returns the table: eval walks its rows, the tests of the tools hold each
// tool to what the rows say, and the demo shows some. A new fault is a new row.
func Faults() []Fault {
	return slices.Concat(healthyPods(), healthyServices(), healthyNodes(), linkFaults(), pathFaults(), firewallFaults(), nodeFaults(), nodeFaultsInDisguise(), serviceFaults(), serverFaults(), tlsFaults(), nameFaults(), sometimesFaults())
}

// healthyPods are the controls: nothing may be said of them.
func healthyPods() []Fault {
	return []Fault{
		{Name: "healthy: pod to pod", Says: []Answer{curl("ok")}},
		{Name: "healthy: by name, service with two backends", Serve: byService},
		{Name: "healthy: routed pod (Calico), its interfaces", Pod: calico, Ask: "netns_ip_addr"},
		{Name: "healthy: HTTPS with a private authority", Pod: trusting, Serve: func(s *Scene) string { return s.secure(s.ca, nil) }, Says: []Answer{curl("ok")}},
		{Name: "healthy: redirect, IPv6 beside IPv4", Pod: dualStack, Serve: redirecting},
		{Name: "healthy network: the container crashes", Pod: crashing, Ask: "resolve_pod_pid"},
		{Name: "healthy: pod of the node's network", Pod: onHost},
		{Name: "healthy: server on another node", Far: true, Says: []Answer{curl("ok")}},
		{Name: "healthy: server that closes, as PostgreSQL does", Serve: func(s *Scene) string { return s.Speak(readRequest) }, Says: []Answer{curl("not_http")}},
	}
}

// ip runs ip(8) commands, one a line, in the namespace.
func (n *Netns) ip(commands string) error {
	for command := range strings.Lines(commands) {
		if _, err := n.Output("ip", strings.Fields(command)...); err != nil {
			return err
		}
	}
	return nil
}

// inPod runs ip(8) commands in the pod. GATEWAY is the bridge's address, NOBODY one
// of the pod's network that nobody has.
func inPod(commands string) func(*Pod) error {
	return func(p *Pod) error {
		p4, _ := p.Node.PodPrefixes(Bridge)
		names := strings.NewReplacer("GATEWAY", gateway(p4).Addr().String(), "NOBODY", withLast(p4.Addr(), 2).String(), "ADDRESS", prefix(p.IP, p.Bits).String())
		return p.ip(names.Replace(commands))
	}
}

// onNode runs ip(8) commands on the pod's node. HOST is the node's end of eth0.
func onNode(commands string) func(*Pod) error {
	return func(p *Pod) error {
		return p.Node.ip(strings.NewReplacer("HOST", p.HostLink, "ADDRESS", p.IP.String()).Replace(commands))
	}
}

// onHostLink changes the node's end of eth0, without a program of this machine: the
// demo does so too.
func onHostLink(change func(*netlink.Handle, netlink.Link) error) func(*Pod) error {
	return func(p *Pod) error {
		if p.HostLink == "" {
			return fmt.Errorf("a %s pod has no link on the node", p.Style)
		}
		return p.Node.onLink(p.HostLink, change)
	}
}

// podRule is a firewall rule of the pod's own, nodeRule one of its node.
func podRule(r FirewallRule) func(*Pod) error { return func(p *Pod) error { return p.Firewall(r) } }

func nodeRule(r FirewallRule) func(*Pod) error {
	return func(p *Pod) error { return p.Node.Firewall(r) }
}

func calico(_ *Scene, s *PodSpec) { s.Style, s.IP = Calico, netip.Addr{} }

func plain(_ *Scene, s *PodSpec) { s.Style, s.IP = Plain, netip.Addr{} }

func onHost(_ *Scene, s *PodSpec) { s.Style, s.IP = HostNetwork, netip.Addr{} }

func dualStack(_ *Scene, s *PodSpec) { s.IPv6 = true }

// crashing: the application ends again and again; the pause process stays.
func crashing(_ *Scene, s *PodSpec) {
	s.Containers = []ContainerSpec{{Name: "app", State: Exited, ExitCode: 1, Restarts: 7}}
}

// trusting: the pod's CA bundle holds the scene's authority.
func trusting(scene *Scene, s *PodSpec) {
	s.Containers[0].Files.Extra = map[string]string{"etc/ssl/certs/ca-certificates.crt": scene.ca.PEM()}
}

func resolver(text string) func(*Scene, *PodSpec) {
	return func(_ *Scene, s *PodSpec) { s.Files.ResolvConf = text + "\n" }
}

func hosts(text string) func(*Scene, *PodSpec) {
	return func(_ *Scene, s *PodSpec) { s.Files.Hosts = "127.0.0.1 localhost\n" + text + "\n" }
}

// failDuplicateDetection gives eth0 a second IPv6 address, which is the
// bridge's: duplicate address detection finds that out and the address stays
// tentative for good (RFC 4862, section 5.4.5). It returns when it has, after up
// to two seconds.
func failDuplicateDetection(p *Pod) error {
	if err := p.SetSysctl("net/ipv6/conf/"+podLink+"/accept_dad", "1"); err != nil {
		return err
	}
	_, p6 := p.Node.PodPrefixes(Bridge)
	return p.awaiting(unix.RTNLGRP_IPV6_IFADDR, "failed address", func() error {
		return p.ip("addr add " + gateway(p6).String() + " dev " + podLink)
	}, func() (bool, error) {
		failed, err := p.Output("ip", "-6", "addr", "show", "dev", podLink, "dadfailed")
		return len(failed) > 0, err
	})
}

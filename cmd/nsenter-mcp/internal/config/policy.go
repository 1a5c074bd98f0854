package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/dispatch/destination"
)

// Policy is what the server may do.
type Policy struct {
	dispatch.Policy
	// Where the node is, who knows its containers, and the command that leads to
	// other nodes.
	HostRoot, HostNetns, DockerHost, RuntimeEndpoint, Kubeconfig, Context, NodeName, Via Setting
	// ExecPlugin lets the kubeconfig's credential plugin run as root.
	ExecPlugin bool
	// Audit is where calls are recorded, "" for the log.
	Audit string

	path string              // of the operator's file
	from map[string][]string // who had a say in a part
}

// Part is one part of a policy, for a person.
type Part struct {
	Name  string
	Value string
	From  string // who says so: "default", a file, flags
}

// New returns what the operator's file at path allows, or the defaults where
// there is none.
func New(path string) (*Policy, error) {
	f, found, err := Load("/", path)
	if err != nil {
		return nil, err
	}
	p := &Policy{
		Policy:          f.limits(),
		HostRoot:        Setting{path: path, file: found, key: keyHostRoot, value: f.HostRoot},
		HostNetns:       Setting{path: path, file: found, key: keyHostNetns, value: f.HostNetns},
		DockerHost:      Setting{path: path, file: found, key: keyDockerHost, value: f.DockerHost},
		RuntimeEndpoint: Setting{path: path, file: found, key: keyEndpoint, value: f.RuntimeEndpoint},
		Kubeconfig:      Setting{path: path, file: found, key: keyKubeconfig, value: f.Kubeconfig},
		Context:         Setting{path: path, file: found, key: keyContext, value: f.Context},
		NodeName:        Setting{path: path, file: found, key: keyNodeName, value: f.NodeName},
		Via:             Setting{path: path, file: found, key: keyVia, value: f.Via},
		ExecPlugin:      isTrue(f.ExecPlugin),
		Audit:           f.Audit,
		path:            path, from: map[string][]string{},
	}
	p.sayAll(f, path)
	return p, nil
}

// NarrowByNode takes away what the node's own file does not allow, where the node's
// root is mounted elsewhere and the file at path below it is thus another one than the
// server's. A file that says nothing of a part allows the default of it. Where to look
// it does not say: its paths are the node's. But where there is one, the caller does not
// say that either.
func (p *Policy) NarrowByNode(path string) error {
	root := filepath.Clean(p.HostRoot.Or("/"))
	if root == "/" {
		return nil
	}
	f, found, err := Load(root, path)
	if err != nil || !found {
		return err
	}
	node := f.limits()
	if node.Destinations.Except == nil {
		node.Destinations.Except = []netip.Prefix{} // none, where nil is no opinion
	}
	p.Toolsets = slices.DeleteFunc(slices.Clone(p.Toolsets), func(set dispatch.Toolset) bool { return !slices.Contains(node.Toolsets, set) })
	p.UnsafeMethods = p.UnsafeMethods && node.UnsafeMethods
	p.NoHostNetwork = p.NoHostNetwork || node.NoHostNetwork
	p.NoJourney = p.NoJourney || node.NoJourney
	loopback := p.Destinations.HostLoopback && node.Destinations.HostLoopback
	p.Destinations = p.Destinations.Narrow(node.Destinations)
	p.Destinations.HostLoopback = loopback
	p.ExecPlugin = p.ExecPlugin && isTrue(f.ExecPlugin)
	for _, s := range []*Setting{&p.DockerHost, &p.RuntimeEndpoint, &p.Kubeconfig, &p.Context, &p.NodeName, &p.Via} {
		s.file = true
	}
	where := filepath.Join(root, path)
	p.sayAll(f, where)
	p.path += " and " + where
	return nil
}

// limits are what the file allows, and the defaults of what it does not say.
func (f *File) limits() dispatch.Policy {
	p := dispatch.DefaultPolicy()
	if f.Toolsets != nil {
		p.Toolsets = f.Toolsets
	}
	p.UnsafeMethods = isTrue(f.UnsafeMethods)
	p.NoHostNetwork = f.HostNetwork != nil && !*f.HostNetwork
	p.NoJourney = f.Journey != nil && !*f.Journey
	p.Destinations = destination.Policy{Only: f.Allow, Deny: f.Deny, Except: f.Metadata, HostLoopback: isTrue(f.HostLoopback)}
	return p
}

func isTrue(b *bool) bool { return b != nil && *b }

// sayAll records of which parts the file at path speaks.
func (p *Policy) sayAll(f File, path string) {
	for key, says := range map[string]bool{
		keyToolsets:      f.Toolsets != nil,
		keyUnsafeMethods: f.UnsafeMethods != nil,
		keyHostNetwork:   f.HostNetwork != nil,
		keyJourney:       f.Journey != nil,
		keyDestinations:  f.Allow != nil || f.Deny != nil || f.Metadata != nil || f.HostLoopback != nil,
	} {
		if says {
			p.say(key, path)
		}
	}
}

func (p *Policy) say(key, who string) {
	if !slices.Contains(p.from[key], who) {
		p.from[key] = append(p.from[key], who)
	}
}

// beyond is the error of whoever asks for more than is allowed.
func (p *Policy) beyond(who, what, allowed, cure string) error {
	return fmt.Errorf("%s: the operator does not allow %s (allowed: %s); flags only narrow that: %s in %s", who, what, allowed, cure, p.path)
}

// LimitToolsets leaves those toolsets that are named. who is who says so, as in
// "--toolsets".
func (p *Policy) LimitToolsets(who string, names []string) error {
	var left []dispatch.Toolset
	for _, name := range names {
		set, err := parseToolset(name)
		if err != nil {
			return fmt.Errorf("%s: %w", who, err)
		}
		if !slices.Contains(p.Toolsets, set) {
			return p.beyond(who, "toolset "+name, join(p.Toolsets), "add it to "+keyToolsets)
		}
		left = append(left, set)
	}
	p.Toolsets = left
	p.say(keyToolsets, who)
	return nil
}

// ReadOnly leaves the tools that send nothing.
func (p *Policy) ReadOnly(who string, only bool) error {
	if !only {
		return nil
	}
	p.Toolsets = slices.DeleteFunc(slices.Clone(p.Toolsets), func(set dispatch.Toolset) bool { return set != dispatch.Inspect })
	p.say(keyToolsets, who)
	return nil
}

// LimitMethods denies methods that change something, or wants them allowed.
func (p *Policy) LimitMethods(who string, unsafe bool) error {
	if unsafe && !p.UnsafeMethods {
		return p.beyond(who, "methods that change something", "GET, HEAD, OPTIONS", "set "+keyUnsafeMethods+": true")
	}
	p.UnsafeMethods = unsafe
	p.say(keyUnsafeMethods, who)
	return nil
}

// AllowExecPlugin lets root start the kubeconfig's credential plugin, or keeps it
// from that. Where there is an operator's file, that has to allow it.
func (p *Policy) AllowExecPlugin(who string, allow bool) error {
	if allow && !p.ExecPlugin && p.Kubeconfig.Fixed() {
		return p.beyond(who, "the kubeconfig's credential plugin as root", "other credentials", "set "+keyExecPlugin+": true")
	}
	p.ExecPlugin = allow
	return nil
}

// LimitHostNetwork denies the node's own network, or wants it allowed.
func (p *Policy) LimitHostNetwork(who string, allow bool) error {
	if allow && p.NoHostNetwork {
		return p.beyond(who, "the node's own network", "networks of pods", "set "+keyHostNetwork+": true")
	}
	p.NoHostNetwork = !allow
	p.say(keyHostNetwork, who)
	return nil
}

// LimitJourney keeps probes from following their packets through the node, or wants it
// allowed.
func (p *Policy) LimitJourney(who string, allow bool) error {
	if allow && p.NoJourney {
		return p.beyond(who, "the journey of packets", "probes without it", "set "+keyJourney+": true")
	}
	p.NoJourney = !allow
	p.say(keyJourney, who)
	return nil
}

// AllowOnly leaves those destinations and no others.
func (p *Policy) AllowOnly(who string, texts []string) error {
	only, err := parsePrefixes(who, texts)
	if err != nil {
		return err
	}
	for _, prefix := range only {
		if why := p.Destinations.Refuses(prefix); why != "" {
			cure := "change " + keyDestinations
			if p.Destinations.Only == nil && len(p.Destinations.Deny) == 0 {
				cure = fmt.Sprintf("add it to %s, %s", keyDestinations, keyMetadata)
			}
			return fmt.Errorf("%s: %s; flags only narrow what the operator allows: %s in %s", who, why, cure, p.path)
		}
	}
	p.Destinations = p.Destinations.Narrow(destination.Policy{Only: only})
	p.say(keyDestinations, who)
	return nil
}

// DenyToo denies those destinations as well.
func (p *Policy) DenyToo(who string, texts []string) error {
	deny, err := parsePrefixes(who, texts)
	if err != nil {
		return err
	}
	p.Destinations = p.Destinations.Narrow(destination.Policy{Deny: deny})
	p.say(keyDestinations, who)
	return nil
}

func parsePrefixes(who string, texts []string) ([]netip.Prefix, error) {
	list := []netip.Prefix{}
	for _, text := range texts {
		p, err := destination.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", who, err)
		}
		list = append(list, p)
	}
	return list, nil
}

// Parts describes the policy, each part with where it comes from.
func (p *Policy) Parts() []Part {
	methods := "GET, HEAD, OPTIONS"
	if p.UnsafeMethods {
		methods = "every method, also those that change something"
	}
	host := "allowed"
	if p.NoHostNetwork {
		host = "denied"
	}
	journey := "packets of probes that get no answer are followed through this node"
	if p.NoJourney {
		journey = "off"
	}
	return []Part{
		{keyToolsets, join(p.Toolsets), p.origin(keyToolsets)},
		{"methods", methods, p.origin(keyUnsafeMethods)},
		{"host_network", host, p.origin(keyHostNetwork)},
		{keyJourney, journey, p.origin(keyJourney)},
		{keyDestinations, describe(p.Destinations), p.origin(keyDestinations)},
	}
}

func (p *Policy) origin(key string) string {
	if who := p.from[key]; len(who) > 0 {
		return strings.Join(who, ", ")
	}
	return "default"
}

func join(sets []dispatch.Toolset) string {
	if len(sets) == 0 {
		return "none"
	}
	names := make([]string, len(sets))
	for i, set := range sets {
		names[i] = string(set)
	}
	return strings.Join(names, ", ")
}

func describe(d destination.Policy) string {
	var b strings.Builder
	if d.Only == nil {
		b.WriteString("all")
	} else {
		b.WriteString("only " + destination.List(d.Only) + ", and the target's own name servers")
	}
	b.WriteString("; not metadata services and link-local addresses")
	if !d.HostLoopback {
		b.WriteString(", nor the node's loopback from its own network")
	}
	if len(d.Except) > 0 {
		b.WriteString(" (but " + destination.List(d.Except) + ")")
	}
	if len(d.Deny) > 0 {
		b.WriteString("; never " + destination.List(d.Deny))
	}
	return b.String()
}

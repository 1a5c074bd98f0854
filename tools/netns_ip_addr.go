package tools

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe"
)

// CodeNoInterface is the error for an interface that the target does not have.
const CodeNoInterface = "no_such_interface"

const netnsIPAddr dispatch.Name[NetnsIPAddrIn] = "netns_ip_addr"

func netnsIPAddrTool() dispatch.Tool {
	return dispatch.Define(netnsIPAddr, dispatch.Spec{
		Title: "Interfaces and addresses",
		Description: "Interfaces of a pod, container, process or netns, as `ip -j addr` run inside shows them: " +
			"addresses, state, carrier, MTU, kind; for each veth its other end on the host (name, state, MTU, bridge); and what is wrong with them.",
		Purpose:      "interfaces, addresses, MTU, the host's end of each veth",
		Toolset:      dispatch.Inspect,
		Capabilities: []string{"CAP_SYS_ADMIN"},
		MaxBytes:     1 << 20,
	}, func(ctx context.Context, env *dispatch.Env, target *resolve.Target, in NetnsIPAddrIn) (dispatch.Answer[NetnsIPAddrOut], error) {
		return showInterfaces(ctx, probe.LinkOptions{Details: in.Details}, env, target, in)
	})
}

// NetnsIPAddrIn are the arguments of netns_ip_addr.
type NetnsIPAddrIn struct {
	dispatch.TargetArgs
	Interface string `json:"interface,omitempty" jsonschema:"exact name of one"`
	Family    string `json:"family,omitempty" jsonschema:"link: no addresses" enum:"inet,inet6,link"`
	Details   bool   `json:"details,omitempty" jsonschema:"as ip -d -s"`
	Offset    int    `json:"offset,omitempty" jsonschema:"interfaces to leave out" min:"0" max:"1000000"`
	Limit     int    `json:"limit,omitempty" jsonschema:"default 10, with details 5" min:"1" max:"200"`
}

// NetnsIPAddrOut is the answer of netns_ip_addr.
type NetnsIPAddrOut struct {
	Interfaces []InterfaceOut `json:"interfaces" jsonschema:"those in trouble first, then those that are up"`
	Total      int            `json:"total" jsonschema:"interfaces that fit the question"`
	Returned   int            `json:"returned"`
	NextOffset int            `json:"next_offset,omitempty" jsonschema:"pass as offset to get the rest"`
}

// InterfaceOut is one interface in the answer, which bounds its addresses.
type InterfaceOut struct {
	fact.Link
	AddrTotal int `json:"addr_total,omitempty" jsonschema:"addresses there are, where addr_info is cut; name the interface to get them"`
}

// The bounds of an answer that was not narrowed. kube-proxy in IPVS mode has
// thousands of addresses on one interface, a node hundreds of interfaces.
const (
	defaultLinks         = 10
	defaultDetailedLinks = 5
	fewAddresses         = 8
	manyAddresses        = 1000 // of an interface asked for by name
)

func showInterfaces(
	ctx context.Context, options probe.LinkOptions, env *dispatch.Env, target *resolve.Target, in NetnsIPAddrIn,
) (dispatch.Answer[NetnsIPAddrOut], error) {
	var list probe.LinkList
	err := target.Net.Look(ctx, func() (err error) { list, err = probe.Links(ctx, target.Net, options); return err })
	if err != nil {
		return dispatch.Answer[NetnsIPAddrOut]{}, err
	}
	links := list.Links
	if in.Interface != "" && !slices.ContainsFunc(links, named(in.Interface)) {
		return dispatch.Answer[NetnsIPAddrOut]{}, noInterface(in.Interface, links)
	}
	var notes []dispatch.Note
	if !list.Complete {
		notes = append(notes, dispatch.Note{Code: "incomplete", Message: "some interfaces or addresses may be missing: they changed each time they were read, or there are too many"})
	}
	notes = append(notes, addHostPeers(ctx, env.Host, target.Net, links, options)...)
	answer := dispatch.Answer[NetnsIPAddrOut]{
		Findings: diagnose.Links(diagnose.LinkEvidence{Links: links, Host: target.HostNetwork}),
		Notes:    notes,
	}
	slices.SortStableFunc(links, func(a, b fact.Link) int { return cmp.Compare(rank(&a), rank(&b)) })
	if in.Interface != "" {
		i := slices.IndexFunc(links, named(in.Interface))
		links = links[i : i+1]
		answer.Summary = describe(&links[0]) + "."
	} else {
		answer.Summary = summarize(links)
	}
	if target.HostNetwork && target.Query.Netns != "host" {
		answer.Summary = strings.TrimSuffix(answer.Summary, ".") + "; this is the node's own network."
	}
	answer.Data = page(links, in)
	if answer.Data.NextOffset != 0 {
		answer.Next = []dispatch.Next{nextPage(target, in, answer.Data)}
	}
	return answer, nil
}

// nextPage asks the same question for the interfaces that did not fit.
func nextPage(target *resolve.Target, in NetnsIPAddrIn, out NetnsIPAddrOut) dispatch.Next {
	in.TargetArgs = dispatch.ArgumentsOf(target)
	in.Offset, in.Limit = out.NextOffset, out.Returned
	return dispatch.Propose(netnsIPAddr, in, fmt.Sprintf("%d more interfaces", out.Total-out.NextOffset))
}

// addHostPeers fills in the host's ends of pairs. What a pod sees of itself is
// true also where the host cannot be looked at, so a failure is a note.
func addHostPeers(ctx context.Context, host, target *nsexec.Handle, links []fact.Link, options probe.LinkOptions) []dispatch.Note {
	if host == nil {
		return nil
	}
	if err := probe.HostPeers(ctx, target, host, links, options); err != nil {
		return []dispatch.Note{{Code: "host_unknown", Message: "the host's side could not be read: " + err.Error()}}
	}
	return nil
}

func named(name string) func(fact.Link) bool {
	return func(l fact.Link) bool { return l.Name == name }
}

// maxNamed bounds the interfaces that an error names.
const maxNamed = 30

func noInterface(name string, links []fact.Link) error {
	valid := make([]string, len(links))
	for i := range links {
		valid[i] = links[i].Name
	}
	hint := fmt.Sprintf("call without interface to see the %d that there are", len(valid))
	if len(valid) <= maxNamed || len(words.Closest(name, valid, 1)) == 1 {
		hint = words.DidYouMean(name, valid)
	}
	return &dispatch.Error{
		Code: CodeNoInterface, Stage: dispatch.StageProbe,
		Message: "the target has no interface " + words.Quote(name),
		Hint:    hint, Details: dispatch.ErrorDetails{Valid: valid[:min(len(valid), maxNamed)]},
	}
}

// rank orders interfaces by how much they matter to somebody who looks for a
// fault.
func rank(l *fact.Link) int {
	loopback := l.LinkType == "loopback"
	working := l.Up() && (l.Carrier == nil || *l.Carrier)
	switch {
	case !working && (loopback || hasOwnAddress(l)), hasUnusable(l.AddrInfo):
		return 0
	case loopback:
		return 3
	case working && hasOwnAddress(l):
		return 1
	case working:
		return 2
	}
	return 4
}

// hasOwnAddress: the link-local address that the kernel gives to each port of a
// bridge is nobody's; a node has hundreds of these.
func hasOwnAddress(l *fact.Link) bool {
	return slices.ContainsFunc(l.AddrInfo, func(a fact.Addr) bool { return l.Master == "" || a.Scope != "link" })
}

func hasUnusable(addresses []fact.Addr) bool {
	return slices.ContainsFunc(addresses, func(a fact.Addr) bool { return a.DADFailed || a.Tentative })
}

// page cuts out what was asked for.
func page(links []fact.Link, in NetnsIPAddrIn) NetnsIPAddrOut {
	limit := in.Limit
	if limit == 0 {
		limit = defaultLinks
		if in.Details {
			limit = defaultDetailedLinks
		}
	}
	start := min(in.Offset, len(links))
	end := min(start+limit, len(links))
	out := NetnsIPAddrOut{Interfaces: make([]InterfaceOut, 0, end-start), Total: len(links), Returned: end - start}
	if end < len(links) {
		out.NextOffset = end
	}
	for _, l := range links[start:end] {
		out.Interfaces = append(out.Interfaces, show(l, in))
	}
	return out
}

func show(l fact.Link, in NetnsIPAddrIn) InterfaceOut {
	if !in.Details {
		l = l.Compact()
	}
	switch in.Family {
	case "":
	case "link":
		l.AddrInfo = nil // absent: it was not asked for
	default:
		chosen := []fact.Addr{}
		for _, a := range l.AddrInfo {
			if a.Family == in.Family {
				chosen = append(chosen, a)
			}
		}
		l.AddrInfo = chosen
	}
	most := fewAddresses
	if in.Interface != "" {
		most = manyAddresses
	}
	shown := InterfaceOut{Link: l}
	if len(l.AddrInfo) > most {
		shown.AddrTotal = len(l.AddrInfo)
		shown.AddrInfo = l.AddrInfo[:most]
	}
	return shown
}

// maxDescribed is how many interfaces a summary describes.
const maxDescribed = 3

// summarize says in one line what there is. Names and addresses are safe to
// print: probe made the former printable, the latter are parsed.
func summarize(links []fact.Link) string {
	var parts []string
	others, down := 0, 0
	loopback, loopbackDown := "no loopback", false
	for i := range links {
		l := &links[i]
		switch {
		case l.LinkType == "loopback":
			loopback = l.Name
			if loopbackDown = !l.Up(); loopbackDown {
				loopback += " (down)"
			}
		case len(parts) < maxDescribed:
			parts = append(parts, describe(l))
		default:
			others++
			if !l.Up() {
				down++
			}
		}
	}
	switch {
	case len(parts) == 0:
		return fmt.Sprintf("No interface but %s.", loopback)
	case others == 0:
		parts = append(parts, "no other interface but "+loopback)
	default:
		more := fmt.Sprintf("%d more", others)
		if down > 0 {
			more += fmt.Sprintf(", %d of them down", down)
		}
		parts = append(parts, more)
		if loopbackDown {
			parts = append(parts, loopback)
		}
	}
	return strings.Join(parts, "; ") + "."
}

// describe writes one interface: "eth0 10.244.1.10/24 up, mtu 1450".
func describe(l *fact.Link) string {
	var b strings.Builder
	b.WriteString(l.Name)
	const most = 2
	written, left := 0, 0
	for _, a := range l.AddrInfo {
		switch {
		case a.Scope == "link" && l.LinkType != "loopback":
		case written == most:
			left++
		default:
			if written > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, " %s/%d", a.Local, a.PrefixLen)
			written++
		}
	}
	switch {
	case left > 0:
		fmt.Fprintf(&b, " and %d more", left)
	case written == 0:
		b.WriteString(" without address")
	}
	switch {
	case !l.Up():
		b.WriteString(" down")
	case l.Carrier != nil && !*l.Carrier:
		b.WriteString(" up without carrier")
	default:
		b.WriteString(" up")
	}
	if l.MTU != nil {
		fmt.Fprintf(&b, ", mtu %d", *l.MTU)
	}
	return b.String()
}

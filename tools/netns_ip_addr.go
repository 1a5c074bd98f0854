package tools

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/gather"
)

// CodeNoInterface is the error for an interface that the target does not have.
const CodeNoInterface = "no_such_interface"

const netnsIPAddr dispatch.Name[NetnsIPAddrIn] = "netns_ip_addr"

func netnsIPAddrTool() dispatch.Tool {
	return dispatch.Define(netnsIPAddr, dispatch.Spec{
		Title: "Interfaces and addresses",
		Description: "Interfaces of a pod, container, process or netns, as `ip -j addr` run inside shows them: " +
			"addresses, routes, state, carrier, MTU, kind. For each veth the other end on the host (name, state, MTU, bridge). Faults are named.",
		Purpose:      "interfaces, addresses, routes, MTU, the host's end of each veth",
		Toolset:      dispatch.Inspect,
		Capabilities: []string{"CAP_SYS_ADMIN"},
		MaxBytes:     1 << 20,
	}, func(ctx context.Context, env *dispatch.Env, target *resolve.Target, in NetnsIPAddrIn) (dispatch.Answer[NetnsIPAddrOut], error) {
		return showInterfaces(ctx, gather.LinkOptions{Details: in.Details}, env, target, in)
	})
}

// NetnsIPAddrIn are the arguments of netns_ip_addr.
type NetnsIPAddrIn struct {
	dispatch.TargetArgs
	Interface string `json:"interface,omitempty" jsonschema:"exact name of one"`
	Family    string `json:"family,omitempty" jsonschema:"link: neither addresses nor routes" enum:"inet,inet6,link"`
	Details   bool   `json:"details,omitempty" jsonschema:"as ip -d -s"`
	Offset    int    `json:"offset,omitempty" jsonschema:"interfaces to leave out; with interface, its addresses and routes" min:"0" max:"1000000"`
	Limit     int    `json:"limit,omitempty" jsonschema:"default 10, with details 5, with interface 100" min:"1" max:"200"`
}

// NetnsIPAddrOut is the answer of netns_ip_addr.
type NetnsIPAddrOut struct {
	Interfaces []InterfaceOut `json:"interfaces" jsonschema:"those in trouble first, then those that are up"`
	Total      int            `json:"total" jsonschema:"interfaces that fit the question"`
	Returned   int            `json:"returned"`
	NextOffset int            `json:"next_offset,omitempty" jsonschema:"pass as offset to get the rest"`
}

// InterfaceOut is one interface in the answer, which bounds its addresses and routes.
type InterfaceOut struct {
	fact.Link
	Routes     []fact.Route `json:"routes,omitzero" jsonschema:"as ip -j route, of all tables but local"`
	AddrTotal  int          `json:"addr_total,omitempty" jsonschema:"where addr_info is cut; name the interface to get all"`
	RouteTotal int          `json:"route_total,omitempty" jsonschema:"where routes is cut; likewise"`
}

// The bounds of an answer. kube-proxy in IPVS mode has thousands of addresses on one
// interface; a node has hundreds of interfaces, and as many routes.
const (
	defaultLinks         = 10
	defaultDetailedLinks = 5
	fewEntries           = 8   // addresses, and routes, of each interface
	manyEntries          = 100 // of one that was asked for by name
	manyDetailedEntries  = 60
	// maxPageBytes is about 9,000 tokens: clients cut answers above 10,000.
	maxPageBytes = 28 << 10
)

func showInterfaces(
	ctx context.Context, options gather.LinkOptions, env *dispatch.Env, target *resolve.Target, in NetnsIPAddrIn,
) (dispatch.Answer[NetnsIPAddrOut], error) {
	options.Routes = routeWindow(in)
	list, err := gather.ReadInterfaces(ctx, env.Host, target, options)
	if err != nil {
		return dispatch.Answer[NetnsIPAddrOut]{}, err
	}
	links := list.Links
	at := slices.IndexFunc(links, named(in.Interface))
	if in.Interface != "" && at < 0 {
		return dispatch.Answer[NetnsIPAddrOut]{}, noInterface(in.Interface, links)
	}
	var notes []dispatch.Note
	if !list.Complete || !list.AllDefaults {
		notes = append(notes, dispatch.Note{Code: "incomplete", Message: "some interfaces, addresses or routes may be missing: the lists changed each time they were read, are too long, or the kernel gave none"})
	}
	if kind := diagnose.DefaultRejected(list.Routes); kind != "" {
		notes = append(notes, dispatch.Note{Code: "default_rejected", Message: "packets that no other route matches go nowhere: the IPv4 default route is of type " + kind})
	}
	if list.HostErr != nil {
		notes = append(notes, dispatch.Note{Code: "host_unknown", Message: "the host's side could not be read: " + list.HostErr.Error()})
	}
	answer := dispatch.Answer[NetnsIPAddrOut]{Findings: diagnose.Links(diagnose.LinkEvidence(list.LinkEvidence)), Notes: notes}
	if in.Interface != "" {
		links = links[at : at+1]
		answer.Summary = describe(&links[0]) + "."
	} else {
		slices.SortStableFunc(links, func(a, b fact.Link) int { return cmp.Compare(rank(&a), rank(&b)) })
		answer.Summary = summarize(links)
		if why := diagnose.NoWayOut(diagnose.LinkEvidence(list.LinkEvidence)); why != "" {
			answer.Summary = strings.TrimSuffix(answer.Summary, ".") + "; " + why + "."
		}
	}
	if target.HostNetwork && target.Query.Netns != "host" {
		answer.Summary = strings.TrimSuffix(answer.Summary, ".") + "; this is the node's own network."
	}
	answer.Summary = nameFindings(answer.Findings) + answer.Summary
	answer.Data = page(links, list, in)
	if end := ofPage(&answer.Data, in); in.Offset > 0 && in.Offset >= end {
		answer.Notes = append(answer.Notes, beyondTheEnd(in.Offset, end))
	}
	if answer.Data.NextOffset != 0 {
		answer.Next = []dispatch.Next{nextPage(target, in, answer.Data)}
	}
	return answer, nil
}

// nameFindings begins a summary: whoever reads nothing else learns what is wrong.
func nameFindings(findings []fact.Finding) string {
	if len(findings) == 0 {
		return ""
	}
	more := ""
	if n := len(findings) - 1; n > 0 {
		more = fmt.Sprintf(" (and %s)", words.Plural(n, "more finding"))
	}
	return fmt.Sprintf("%s: %s%s. ", findings[0].Code, findings[0].Fact, more)
}

// nextPage asks the same question for what did not fit.
func nextPage(target *resolve.Target, in NetnsIPAddrIn, out NetnsIPAddrOut) dispatch.Next {
	in.TargetArgs = dispatch.ArgumentsOf(target)
	in.Offset = out.NextOffset
	if in.Interface == "" {
		return dispatch.Propose(netnsIPAddr, in, words.Plural(out.Total-out.NextOffset, "more interface"))
	}
	rest := max(out.Interfaces[0].AddrTotal, out.Interfaces[0].RouteTotal) - out.NextOffset
	return dispatch.Propose(netnsIPAddr, in, fmt.Sprintf("up to %d more addresses and routes", rest))
}

// named takes a name as it is and as answers write it.
func named(name string) func(fact.Link) bool {
	return func(l fact.Link) bool { return l.Name == name || l.Name == gather.LinkName(name) }
}

// maxNamed bounds the interfaces that an error names.
const maxNamed = 30

func noInterface(name string, links []fact.Link) error {
	valid := make([]string, len(links))
	for i := range links {
		valid[i] = links[i].Name
	}
	hint := fmt.Sprintf("call without interface to see all %d", len(valid))
	if len(valid) <= maxNamed || len(words.Closest(name, valid, 1)) == 1 {
		hint = words.DidYouMean(name, valid)
	}
	if before, _, _ := strings.Cut(name, "@"); slices.Contains(valid, before) {
		hint = fmt.Sprintf("did you mean %s? ip(8) writes after @ what is below an interface", before)
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

// page cuts out what was asked for. For one interface, offset and limit count its
// addresses and its routes.
func page(links []fact.Link, list gather.Interfaces, in NetnsIPAddrIn) NetnsIPAddrOut {
	out := NetnsIPAddrOut{Interfaces: []InterfaceOut{}, Total: len(links)}
	if in.Interface != "" {
		shown := show(links[0], list, in)
		out.Interfaces, out.Returned = append(out.Interfaces, shown), 1
		if end := in.Offset + entries(in); end < max(shown.AddrTotal, shown.RouteTotal) {
			out.NextOffset = end
		}
		return out
	}
	limit := in.Limit
	if limit == 0 {
		limit = defaultLinks
		if in.Details {
			limit = defaultDetailedLinks
		}
	}
	size := 0
	for _, l := range links[min(in.Offset, len(links)):] {
		shown := show(l, list, in)
		if min(limit, len(links)) > defaultDetailedLinks { // fewer fit, and most networks have two
			b, _ := json.Marshal(shown) // fails nowhere: it is encoded again
			size += len(b)
		}
		if out.Returned == limit || size > maxPageBytes && out.Returned > 0 {
			out.NextOffset = in.Offset + out.Returned
			break
		}
		out.Interfaces = append(out.Interfaces, shown)
		out.Returned++
	}
	return out
}

// ofPage is the length of the list that offset counts.
func ofPage(out *NetnsIPAddrOut, in NetnsIPAddrIn) int {
	if in.Interface == "" {
		return out.Total
	}
	return max(out.Interfaces[0].AddrTotal, out.Interfaces[0].RouteTotal)
}

// entries is how many addresses and routes of an interface are shown at most.
func entries(in NetnsIPAddrIn) int {
	most := fewEntries
	switch {
	case in.Interface == "":
		return most
	case in.Details:
		most = manyDetailedEntries
	default:
		most = manyEntries
	}
	return min(most, cmp.Or(in.Limit, most))
}

// routeWindow is which routes show needs.
func routeWindow(in NetnsIPAddrIn) gather.RouteWindow {
	w := gather.RouteWindow{Dev: in.Interface, Family: in.Family, LinkLocal: in.Details, Most: entries(in)}
	if in.Interface != "" {
		w.Offset = in.Offset
	}
	return w
}

// show leaves out of an interface what was not asked for, and cuts its addresses and
// routes.
func show(l fact.Link, list gather.Interfaces, in NetnsIPAddrIn) InterfaceOut {
	if !in.Details {
		l = l.Compact()
	}
	shown := InterfaceOut{Link: l}
	if in.Family == "link" {
		shown.AddrInfo = nil // absent: it was not asked for
		return shown
	}
	addresses, w := []fact.Addr{}, routeWindow(in)
	for _, a := range l.AddrInfo {
		if in.Family == "" || in.Family == a.Family {
			addresses = append(addresses, a)
		}
	}
	shown.AddrInfo, shown.AddrTotal = window(addresses, w.Offset, w.Most)
	shown.Routes = []fact.Route{}
	for _, r := range list.Routes {
		if r.Dev == l.Name && r.Index >= w.Offset && r.Index < w.Offset+w.Most {
			shown.Routes = append(shown.Routes, r)
		}
	}
	if total := list.RouteTotals[l.Name]; total > len(shown.Routes) {
		shown.RouteTotal = total
	}
	return shown
}

// window returns a part of a list, and the length of the list where it is longer.
func window[T any](list []T, offset, most int) (part []T, total int) {
	part = list[min(offset, len(list)):min(offset+most, len(list))]
	if len(part) < len(list) {
		total = len(list)
	}
	return part, total
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

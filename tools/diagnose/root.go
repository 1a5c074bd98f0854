package diagnose

import (
	"slices"

	"nsenter-mcp/tools/fact"
)

// loopback is the device of the routes to the target itself.
const loopback = "lo"

// linkRoots are the faults of the target's own links that leave it without a way out;
// dev is the interface that the failed packet was to take, "" where none is known. A
// link in trouble beside one that works is no root.
func linkRoots(links *fact.LinkEvidence, dev string) []fact.Finding {
	if links == nil || links.Host || dev == loopback {
		return nil
	}
	e := LinkEvidence(*links)
	if missing := linkMissing(e); missing != nil {
		return missing
	}
	var roots []fact.Finding
	for l := range e.uplinks() {
		if dev != "" && l.Name != dev {
			continue
		}
		var of []fact.Finding
		alone := LinkEvidence{Links: []fact.Link{*l}}
		for _, judge := range [...]func(LinkEvidence) []fact.Finding{linkDown, linkNoCarrier, linkDetached, bridgeDown} {
			of = append(of, judge(alone)...)
		}
		if of == nil && len(routable(l)) > 0 {
			return nil
		}
		roots = append(roots, of...)
	}
	if roots == nil {
		roots = addrNone(e)
	}
	return roots
}

// deviceOf is the interface that the routes of failed attempts lead to; "" where that is
// none or several.
func deviceOf(attempts []fact.Attempt) string {
	dev := ""
	for _, a := range attempts {
		if a.Route == nil || a.Route.Dev == "" || dev != "" && dev != a.Route.Dev {
			return ""
		}
		dev = a.Route.Dev
	}
	return dev
}

// withRoots puts roots first and leaves out what they explain.
func withRoots(roots, findings []fact.Finding) []fact.Finding {
	if len(roots) == 0 {
		return findings
	}
	codes := Codes()
	explained := func(f fact.Finding) bool {
		return slices.ContainsFunc(codes, func(c CodeInfo) bool {
			isRoot := slices.ContainsFunc(roots, func(r fact.Finding) bool { return r.Code == c.Code })
			return isRoot && (f.Code == c.Code || slices.Contains(c.Explains, f.Code))
		})
	}
	return append(roots[:len(roots):len(roots)], slices.DeleteFunc(findings, explained)...)
}

// hasDefault reports whether a table of the destination's family has a default route.
func hasDefault(links *fact.LinkEvidence, ipv6 bool) bool {
	family := "inet"
	if ipv6 {
		family = "inet6"
	}
	return slices.ContainsFunc(links.Routes, func(r fact.Route) bool { return r.Family == family && isDefault(r) })
}

// Settled reports whether one of the findings is a cause that no comparison with
// another place would tell more about.
func Settled(findings []fact.Finding) bool {
	codes := Codes()
	return slices.ContainsFunc(findings, func(f fact.Finding) bool {
		return slices.ContainsFunc(codes, func(c CodeInfo) bool { return c.Code == f.Code && c.Settled })
	})
}

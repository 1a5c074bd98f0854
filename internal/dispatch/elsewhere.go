package dispatch

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
)

// keepLocal drops the proposed calls by which a target, through its hosts file, its
// variables or its answers, would choose what is asked for from another place:
// loopback, unspecified and link-local addresses mean something else there, and at the
// node's own addresses things listen that trust the node.
func (d *Dispatcher) keepLocal(ctx context.Context, t *resolve.Target, steps []Next) []Next {
	if t == nil {
		return steps
	}
	var node []nsexec.Address
	if d.Env.Host != nil && slices.ContainsFunc(steps, func(n Next) bool { return isElsewhere(n, t) && len(literals(n)) > 0 }) {
		// Without these the other kinds are still told.
		_ = d.Env.Host.Look(ctx, func() (err error) { node, err = d.Env.Host.Addresses(ctx, 0); return err })
	}
	return slices.DeleteFunc(steps, func(n Next) bool {
		return isElsewhere(n, t) && slices.ContainsFunc(literals(n), func(a netip.Addr) bool {
			return a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() ||
				slices.ContainsFunc(node, func(own nsexec.Address) bool { return own.Prefix.Addr() == a })
		})
	})
}

// isElsewhere reports whether a proposed call is made from another network.
func isElsewhere(n Next, t *resolve.Target) bool {
	return !isHere(n.Arguments, ArgumentsOf(t), t.Via == resolve.ViaSandbox)
}

// isHere reports whether arguments lead to the network that here leads to. shared: all
// containers of the pod are in that one.
func isHere(arguments map[string]any, here TargetArgs, shared bool) bool {
	if here.Expect != 0 && arguments["expect"] == here.Expect {
		return true // no other network is entered with that
	}
	names := Propose("", here, "").Arguments
	for _, key := range []string{"pod", "namespace", "container", "pid", "netns"} {
		if fmt.Sprint(arguments[key]) != fmt.Sprint(names[key]) && (key != "container" || !shared || here.Pod == "") {
			return false
		}
	}
	return true
}

// What a connection is led to stands in the third part of curl's --resolve and
// --connect-to.
const ledTo = `^(?:\[[^\]]*\]|[^:]*):[0-9]*:(.*?)(?::[0-9]*)?$`

// literals are the addresses that a proposed call would ask for; names are looked up
// where the call is made.
func literals(n Next) []netip.Addr {
	var found []netip.Addr
	add := func(text string) {
		if at, err := netip.ParseAddrPort(text); err == nil {
			text = at.Addr().String()
		}
		if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
			found = append(found, a.Unmap().WithZone(""))
		}
	}
	for _, key := range []string{"url", "proxy"} {
		text, _ := n.Arguments[key].(string)
		if u, err := url.Parse(text); err == nil {
			add(u.Hostname())
		}
	}
	for _, key := range []string{"server", "ip"} {
		text, _ := n.Arguments[key].(string)
		add(text)
	}
	third := regexp.MustCompile(ledTo)
	for _, key := range []string{"resolve", "connect_to"} {
		list, _ := n.Arguments[key].([]string)
		for _, text := range list {
			if part := third.FindStringSubmatch(text); part != nil {
				for address := range strings.SplitSeq(part[1], ",") {
					add(address)
				}
			}
		}
	}
	return found
}

package probe

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

// TestSameRoutesAsIP holds the routes of Links against `ip -j route show table all`.
func TestSameRoutesAsIP(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	plain := l.Pod(t, lab.PodSpec{Style: lab.Plain})
	batch(t, plain.Netns, `
		link add v0 type veth peer name v1
		link set v0 up
		link set v1 up
		addr add 10.1.0.1/24 dev v0
		addr add fd00:1::1/64 dev v0 nodad
		route add default via 10.1.0.254 dev v0 metric 50
		route add default via 10.1.0.253 dev v0 table 100
		route add default via 10.1.0.252 dev v0 table 70000
		route add 10.2.0.7 via 10.1.0.254 src 10.1.0.1
		route add 10.3.0.0/16 nexthop via 10.1.0.2 nexthop via 10.1.0.3
		route add 10.4.0.0/16 via inet6 fd00:1::9 dev v0
		route add 0.0.0.0/1 dev v0
		route add blackhole 10.5.0.0/16
		route add unreachable 10.6.0.0/16
		route add prohibit 10.7.0.0/16
		route add throw 10.8.0.0/16
		route add blackhole fd00:5::/64
		route add default via fd00:1::9 dev v0`)
	for name, ns := range map[string]*lab.Netns{
		"all kinds": plain.Netns, "bridge": l.Pod(t, lab.PodSpec{IPv6: true}).Netns, "calico": l.Pod(t, lab.PodSpec{Style: lab.Calico, IPv6: true}).Netns, "node": l.Node.Netns,
	} {
		t.Run(name, func(t *testing.T) {
			theirs := append(ipRoutes(t, ns, "-4"), ipRoutes(t, ns, "-6")...)
			list, err := Links(t.Context(), ns.Handle, LinkOptions{})
			if err != nil || !list.AllRoutes {
				t.Fatalf("complete %v, error %v", list.AllRoutes, err)
			}
			var ours []string
			for _, r := range list.Routes {
				ours = append(ours, fmt.Sprint(r.Dst, r.Type, r.Gateway, r.Dev, r.Table, r.Prefsrc, r.Metric))
			}
			slices.Sort(ours)
			slices.Sort(theirs)
			if len(theirs) == 0 || !slices.Equal(ours, theirs) {
				t.Errorf("ours\n%q\ntheirs\n%q", ours, theirs)
			}
		})
	}
}

// TestLinksManyRoutes: the routes of a target are counted, and few are kept, however many
// there are; default routes are, wherever these stand. It runs alone, as it measures what
// the whole process allocates.
func TestLinksManyRoutes(t *testing.T) {
	pod := lab.Start(t).Pod(t, lab.PodSpec{IPv6: true})
	const count = 60_000
	var commands strings.Builder
	for i := range count {
		fmt.Fprintf(&commands, "route add 11.0.%d.%d/32 dev eth0\n", i>>8, i&255)
	}
	batch(t, pod.Netns, commands.String())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	list, err := Links(t.Context(), pod.Handle, LinkOptions{Routes: RouteWindow{Dev: "eth0", Family: "inet", Offset: count - 10, Most: 3}})
	runtime.ReadMemStats(&after)
	if err != nil || list.AllRoutes || !list.AllDefaults || len(list.Routes) > maxRoutes+10 {
		t.Fatalf("%d routes, all %v, all default routes %v, %v", len(list.Routes), list.AllRoutes, list.AllDefaults, err)
	}
	const others = 2 // the default route, and that of the link
	if total := list.RouteTotals["eth0"]; total != count+others {
		t.Errorf("counted %d routes", total)
	}
	var shown []string
	defaults := map[string]bool{}
	for _, r := range list.Routes {
		if r.Index >= count-10 {
			shown = append(shown, r.Dst)
		}
		defaults[r.Family] = defaults[r.Family] || r.Dst == "default"
	}
	if len(shown) != 3 || !strings.HasPrefix(shown[0], "11.0.") {
		t.Errorf("shown %v", shown)
	}
	if !defaults["inet"] || !defaults["inet6"] { // IPv6 comes last
		t.Errorf("default routes of %v", defaults)
	}
	const most = 50 // bytes a route, with those that are kept; a message has 60
	if used := after.TotalAlloc - before.TotalAlloc; used > most*count {
		t.Errorf("%d bytes allocated", used)
	}
}

// ipRoutes are the routes that ip(8) shows, one line for each next hop.
func ipRoutes(t *testing.T, ns *lab.Netns, family string) []string {
	t.Helper()
	out, err := exec.Command("nsenter", "--net="+ns.Path, "ip", "-N", "-j", family, "route", "show", "table", "all").Output()
	if err != nil {
		t.Fatalf("ip: %v", err)
	}
	type hop struct {
		Gateway, Dev string
		Via          struct{ Host string }
	}
	var routes []struct {
		hop
		Dst, Type, Table, Prefsrc string
		Metric                    int
		Nexthops                  []hop
	}
	if err := json.Unmarshal(out, &routes); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var lines []string
	for _, r := range routes {
		table, kind := 0, r.Type
		if r.Table != "" {
			if _, err := fmt.Sscan(r.Table, &table); err != nil {
				t.Fatal(err)
			}
		}
		if kind == "1" || kind == "unicast" {
			kind = ""
		}
		if n := 0; kind != "" {
			if _, err := fmt.Sscan(kind, &n); err == nil {
				kind = routeType(uint8(n))
			}
		}
		if table == unix.RT_TABLE_LOCAL || kind == fmt.Sprint(unix.RTN_MULTICAST) {
			continue
		}
		hops := r.Nexthops
		if hops == nil {
			hops = []hop{r.hop}
		}
		for _, h := range hops {
			lines = append(lines, fmt.Sprint(r.Dst, kind, h.Gateway+h.Via.Host, h.Dev, table, r.Prefsrc, r.Metric))
		}
	}
	return lines
}

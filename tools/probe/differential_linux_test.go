package probe

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"os/user"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// The tests in this file hold Links against `ip -j -d -s -s addr` of the
// machine, field by field: every field that ip prints has to be there with the
// same name, type and value, but for those in fewer, and nothing else but what is
// listed in extra. What has to be there of the objects in fewer, each test lists.

// TestSameAsIP covers the kinds of links and their settings.
func TestSameAsIP(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	for name, test := range map[string]struct{ commands, fields string }{
		"bridge": {`
			link add br0 type bridge
			link add br1 type bridge stp_state 1 forward_delay 1000 hello_time 150 max_age 1500 ageing_time 20000 priority 4096 group_fwd_mask 8 group_address 01:80:c2:00:00:0e no_linklocal_learn 1 mcast_snooping 0 mcast_router 2 mcast_query_use_ifaddr 1 mcast_querier 1 mcast_hash_max 1024 mcast_last_member_count 3 mcast_startup_query_count 4 mcast_igmp_version 3 mcast_mld_version 2 nf_call_iptables 1
			link add p0 type veth peer name p0x
			link add p1 type veth peer name p1x
			link add p2 type veth peer name p2x
			link set p0 master br0
			link set p1 master br1
			link set p2 master br0
			link set p1 type bridge_slave priority 12 cost 77 hairpin on guard on root_block on fastleave on learning off flood off proxy_arp on proxy_arp_wifi on mcast_router 2 mcast_flood off bcast_flood off mcast_to_unicast on group_fwd_mask 0x400c neigh_suppress on vlan_tunnel on isolated on locked on
			link set p2 type bridge_slave backup_port p0
			link set p2 type bridge_slave group_fwd_mask 0
			link set br0 up
			link set br1 up
			link set p0 up
			link set p0x up
			link set p1 up
			addr add 10.1.0.1/24 dev br0`, `
			bridge: forward_delay ageing_time hello_time max_age stp_state priority root_port topology_change vlan_filtering mcast_router mcast_querier mcast_snooping nf_call_iptables nf_call_ip6tables nf_call_arptables
			port: state priority cost hairpin guard root_block fastleave learning flood mcast_flood bcast_flood proxy_arp neigh_suppress isolated locked mcast_to_unicast vlan_tunnel backup_port
			link: ifindex ifname flags mtu qdisc operstate group txqlen link_type address broadcast linkinfo promiscuity allmulti min_mtu max_mtu num_tx_queues num_rx_queues gso_max_size gso_max_segs tso_max_size tso_max_segs gro_max_size stats64 addr_info master link`},
		"veth": {`
			link add v0 mtu 1400 numtxqueues 3 numrxqueues 2 type veth peer name v1 mtu 1300
			link set v0 up
			link add v2 address 02:00:00:00:00:01 txqueuelen 77 type veth peer name v3
			link set v2 up
			link set v3 up
			link set v2 promisc on allmulticast on group 42 gso_max_size 32768 gso_max_segs 99 gro_max_size 40000
			link set v3 arp off multicast off dynamic on
			link set v3 alias the_alias_of_v3
			link property add dev v3 altname another altname third-name-that-is-longer-than-fifteen`, `
			link: ifalias altnames link`},
		"vxlan": {`
			link add v0 type veth peer name v1
			link add vx0 type vxlan id 42 remote 192.0.2.9 local 192.0.2.1 dev v0 dstport 8472 srcport 1000 2000 ttl 9 tos 4 df set ageing 30 maxaddress 9 udpcsum nolearning proxy rsc l2miss l3miss
			link add vx1 type vxlan id 43 group 239.1.1.1 dev v0 dstport 4789 ttl inherit tos inherit noudpcsum ageing none
			link add vx2 type vxlan id 44 remote 2001:db8::9 local 2001:db8::1 dev v0 dstport 4789 flowlabel 0x1234 udp6zerocsumtx udp6zerocsumrx remcsumtx remcsumrx df inherit
			link add vx3 type vxlan id 45 group ff05::100 dev v0 dstport 4789
			link add vx4 type vxlan dstport 4790 external
			link add vx5 type vxlan id 46 dstport 4791 gbp
			link add vx6 type vxlan dstport 4792 external gpe
			link set vx0 up
			link set vx1 protodown on protodown_reason 3 on
			link set vx1 protodown_reason 0 on`, `
			vxlan: id remote local group remote6 local6 group6 external link port learning ageing udp_csum udp_zero_csum6_tx udp_zero_csum6_rx proxy l2miss l3miss gbp df
			link: proto_down proto_down_reason`},
		"macvlan": {`
			link add v0 type veth peer name v1
			link add m0 link v0 type macvlan mode bridge
			link add m1 link v0 type macvlan mode private
			link add m2 link v0 type macvlan mode vepa bcqueuelen 777
			link add m3 link v0 type macvlan mode source nodst
			link set m3 type macvlan macaddr add 02:00:00:00:00:07
			link set m3 type macvlan macaddr add 02:00:00:00:00:0a
			link add m4 link v1 type macvlan mode passthru nopromisc
			link add m5 link v0 type macvtap mode bridge
			link set v0 up
			link set m0 up
			link set m3 up
			link set m1 protodown on`, `
			macvlan: mode
			macvtap: mode
			link: proto_down link`},
		"tun": {`
			tuntap add dev t0 mode tun
			tuntap add dev t1 mode tap user 4242 group 4243 multi_queue vnet_hdr
			tuntap add dev t2 mode tun pi
			link set t0 up
			addr add 10.8.0.1 peer 10.8.0.2 dev t0
			addr add 10.9.0.1 peer 10.9.0.2/24 dev t0
			addr add fd09::1 peer fd09::2 dev t0 nodad`, `
			tun: type pi vnet_hdr persist multi_queue user group`},
		"ifb": {`
			link add i0 type ifb
			link add i1 type ifb
			link set i0 up`, `
			link: linkinfo`},
		"lo down": {`link set lo down`, `
			link: stats64`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "tun" { // its devices belong to other users, too
				lab.Device(t, "/dev/net/tun")
				lab.OtherUsers(t)
			}
			ns := l.Pod(t, lab.PodSpec{Style: lab.Plain}).Netns
			batch(t, ns, test.commands)
			sameAsIP(t, ns)
			hasFields(t, ns, test.fields)
		})
	}
}

// hasFields fails where no link of ns has one of the fields. Each line of wanted is a
// kind of link and its settings, "port" and settings as a port, or "link" and fields
// of any link.
func hasFields(t *testing.T, ns *lab.Netns, wanted string) {
	t.Helper()
	seen := map[string]bool{}
	for _, link := range oursAsTheirs(t, ns) {
		fields := link.(map[string]any)
		see := func(group string, object any) {
			settings, _ := object.(map[string]any)
			for name := range settings {
				seen[group+": "+name] = true
			}
		}
		see("link", fields)
		if info, ok := fields["linkinfo"].(map[string]any); ok {
			see(fmt.Sprint(info["info_kind"]), info["info_data"])
			see("port", info["info_slave_data"])
		}
	}
	for line := range strings.Lines(strings.TrimSpace(wanted)) {
		group, names, _ := strings.Cut(strings.TrimSpace(line), ": ")
		for _, name := range strings.Fields(names) {
			if !seen[group+": "+name] {
				t.Errorf("%s: no %s: nothing was compared", group, name)
			}
		}
	}
}

// TestSameAddressesAsIP covers addresses, with every flag that iproute2 knows.
func TestSameAddressesAsIP(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	ns := l.Pod(t, lab.PodSpec{Style: lab.Plain}).Netns
	batch(t, ns, `
		link add v0 type veth peer name v1
		link add dup0 type veth peer name dup1
		link add opt0 type veth peer name opt1
		link add priv0 type veth peer name priv1
		link add never type veth peer name neverx`)
	sysctl(t, ns,
		"net.ipv6.conf.v0.use_tempaddr=2",
		"net.ipv6.conf.opt0.optimistic_dad=1", "net.ipv6.conf.opt0.use_optimistic=1", "net.ipv6.conf.opt0.dad_transmits=100",
		// The lab turns duplicate detection off, so that pods are ready at once.
		"net.ipv6.conf.dup0.accept_dad=1", "net.ipv6.conf.opt0.accept_dad=1", "net.ipv6.conf.never.accept_dad=1",
		"net.ipv6.conf.priv0.stable_secret=fd00::1",
		"net.ipv6.conf.never.dad_transmits=100")
	batch(t, ns, `
		link set v0 up
		link set v1 up
		link set dup0 up
		link set dup1 up
		link set opt0 up
		link set opt1 up
		link set priv0 up
		link set priv1 up
		link set never up
		link set neverx up
		addr add 10.0.0.1/24 broadcast + dev v0
		addr add 10.0.0.2/24 dev v0 label v0:two
		addr add 10.0.1.1/24 dev v0 metric 77 noprefixroute
		addr add 10.0.2.1/24 dev v0 scope link
		addr add 10.0.3.1/24 dev v0 scope site
		addr add 10.0.4.1/24 dev v0 scope 77
		addr add 10.0.5.1/24 dev v0 valid_lft 3000 preferred_lft 1000
		addr add 10.0.6.1/24 dev v0 valid_lft 3000 preferred_lft 0
		addr add 224.0.0.77/32 dev v0 autojoin
		addr add fd00:1::1/64 dev v0 nodad
		addr add fd00:2::1/64 dev v0 nodad noprefixroute
		addr add fd00:3::1/64 dev v0 nodad home
		addr add fd00:4::1/64 dev v0 nodad valid_lft 3000 preferred_lft 0
		addr add fd00:5::1/64 dev v0 nodad valid_lft 3000 preferred_lft 1000
		addr add fd00:6::1/64 dev v0 nodad metric 55
		addr add fd00:7::1/64 dev v0 mngtmpaddr valid_lft 86400 preferred_lft 14400
		addr add fd00:8::1/64 dev never
		addr add fd00:9::1/64 dev opt0 optimistic
		addr add fd00:a::1/64 dev dup1 nodad
		addr add fd00:a::1/64 dev dup0
		addr add ff05::77/128 dev v0 autojoin`)
	eventually(t, "duplicate detected, temporary address made", func() bool {
		links := readLinks(t, ns)
		temporary := func(a fact.Addr) bool { return a.Temporary }
		return hasAddr(findLink(t, links, "dup0"), func(a fact.Addr) bool { return a.DADFailed }) &&
			hasAddr(findLink(t, links, "v0"), temporary)
	})
	sameAsIP(t, ns)

	seen := map[string]bool{}
	for _, link := range readLinks(t, ns) {
		for _, a := range link.AddrInfo {
			for name := range toMap(t, a) {
				seen[name] = true
			}
		}
	}
	for _, name := range []string{
		"secondary", "temporary", "nodad", "optimistic", "dadfailed", "home", "deprecated", "tentative", "dynamic",
		"mngtmpaddr", "noprefixroute", "autojoin", "stable-privacy", "broadcast", "label", "metric",
		"valid_life_time", "preferred_life_time",
	} {
		if !seen[name] {
			t.Errorf("no address had %s: nothing was compared", name)
		}
	}
}

func hasAddr(l *fact.Link, is func(fact.Addr) bool) bool { return slices.ContainsFunc(l.AddrInfo, is) }

// TestSamePodsAsIP covers pods and the node they are on.
func TestSamePodsAsIP(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	bridged := l.Pod(t, lab.PodSpec{IPv6: true})
	routed := l.Pod(t, lab.PodSpec{Style: lab.Calico, IPv6: true})
	for name, ns := range map[string]*lab.Netns{"bridge": bridged.Netns, "calico": routed.Netns, "node": l.Node.Netns} {
		t.Run(name, func(t *testing.T) { sameAsIP(t, ns) })
	}
}

// TestSameManyAsIP has more links than one message of the kernel holds.
func TestSameManyAsIP(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	ns := l.Pod(t, lab.PodSpec{Style: lab.Plain}).Netns
	var commands strings.Builder
	for i := range 150 {
		fmt.Fprintf(&commands, "link add a%d type veth peer name b%d\n", i, i)
		fmt.Fprintf(&commands, "addr add 10.7.%d.1/24 dev a%d\n", i, i)
	}
	batch(t, ns, commands.String())
	if n := len(readLinks(t, ns)); n != 301 {
		t.Fatalf("%d links, want 301", n)
	}
	sameAsIP(t, ns)
}

// TestSameXDPAsIP attaches a program, of which ip prints more than its id.
func TestSameXDPAsIP(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	ns := l.Pod(t, lab.PodSpec{Style: lab.Plain}).Netns
	batch(t, ns, "link add v0 type veth peer name v1")
	attachXDP(t, ns, findLink(t, readLinks(t, ns), "v0").Index)
	if findLink(t, readLinks(t, ns), "v0").XDP == nil {
		t.Fatal("no xdp")
	}
	sameAsIP(t, ns)
}

// extra are the fields that ip does not print.
var extra = []string{"carrier", "disable_ipv6", "host_peer", "peer_netnsid", "inet6_addr_gen_mode"}

// fewer are the objects and fields of ip of which we leave something out.
var fewer = []string{"info_data", "info_slave_data", "attached"}

// volatile are values that count by themselves.
var volatile = []string{
	"valid_life_time", "preferred_life_time", "hello_timer", "tcn_timer", "topology_change_timer", "gc_timer",
	"hold_timer", "message_age_timer", "forward_delay_timer",
}

// sameAsIP compares all links of ns: ours, theirs, ours again, and once more
// while our two differ.
func sameAsIP(t *testing.T, ns *lab.Netns) {
	t.Helper()
	const rounds = 20
	for range rounds {
		before := oursAsTheirs(t, ns)
		theirs := ipOutput(t, ns, "-d", "-s", "-s", "addr")
		after := oursAsTheirs(t, ns)
		c := comparison{}
		c.compare("", before, theirs, after)
		if c.unsettled {
			continue
		}
		for _, d := range c.differences {
			t.Error(d)
		}
		compareAddrGenMode(t, ns)
		return
	}
	t.Fatalf("the links did not settle within %d rounds", rounds)
}

// ipOutput is what ip(8) says, entered by nsenter(1) and not by our code.
func ipOutput(t testing.TB, ns *lab.Netns, args ...string) []any {
	t.Helper()
	out, err := exec.Command("nsenter", append([]string{"--net=" + ns.Path, "ip", "-j"}, args...)...).Output()
	if err != nil {
		t.Fatalf("ip: %v", err)
	}
	var links []any
	if err := json.Unmarshal(out, &links); err != nil {
		t.Fatal(err)
	}
	return links
}

// oursAsTheirs are our links, with what is said to differ on purpose undone.
func oursAsTheirs(t testing.TB, ns *lab.Netns) []any {
	t.Helper()
	var links []any
	for _, link := range readLinks(t, ns) {
		fields := toMap(t, link)
		for _, name := range extra {
			delete(fields, name)
		}
		if untrusted, ok := fields["untrusted"].(map[string]any); ok {
			maps.Copy(fields, untrusted)
			delete(fields, "untrusted")
		}
		links = append(links, fields)
	}
	return links
}

func toMap(t testing.TB, v any) map[string]any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

type comparison struct {
	differences []string
	unsettled   bool
}

func (c *comparison) compare(path string, before, theirs, after any) {
	switch before := before.(type) {
	case []any:
		theirs, ok := theirs.([]any)
		after, stable := after.([]any)
		switch {
		case !stable || len(before) != len(after):
			c.unsettled = true
		case !ok || len(before) != len(theirs):
			c.differ(path, before, theirs)
		default:
			for i := range before {
				c.compare(fmt.Sprintf("%s[%d]", path, i), before[i], theirs[i], after[i])
			}
		}
	case map[string]any:
		theirs, ok := theirs.(map[string]any)
		after, stable := after.(map[string]any)
		if !stable || !slices.Equal(slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after))) {
			c.unsettled = true
			return
		}
		if !ok {
			c.differ(path, before, theirs)
			return
		}
		c.compareFields(path, before, theirs, after)
	default:
		c.compareValue(path, before, theirs, after)
	}
}

func (c *comparison) compareFields(path string, before, theirs, after map[string]any) {
	if name, ok := before["ifname"].(string); ok {
		path += "(" + name + ")"
	}
	for name, value := range theirs {
		switch {
		case name == "link" && value == nil: // absent with us
		case sameOwner(name, before[name], value):
		case name == "prog": // of which we have the id
			c.compareValue(path+".prog.id", before[name].(map[string]any)["id"], value.(map[string]any)["id"], before[name].(map[string]any)["id"])
		case before[name] == nil && (slices.Contains(fewer, name) || slices.ContainsFunc(fewer, func(f string) bool { return strings.HasSuffix(path, "."+f) })):
		case before[name] == nil:
			c.differ(path+"."+name, nil, value)
		default:
			c.compare(path+"."+name, before[name], value, after[name])
		}
	}
	for name, value := range before {
		if _, ok := theirs[name]; !ok {
			c.differ(path+"."+name, value, nil)
		}
	}
}

// sameOwner: ip names the owner of a tun device where this machine knows the
// number.
func sameOwner(field string, ours, theirs any) bool {
	number, ok := ours.(float64)
	if !ok {
		return false
	}
	id := strconv.Itoa(int(number))
	switch field {
	case "user":
		u, err := user.LookupId(id)
		return err == nil && u.Username == theirs
	case "group":
		g, err := user.LookupGroupId(id)
		return err == nil && g.Name == theirs
	}
	return false
}

func (c *comparison) compareValue(path string, before, theirs, after any) {
	if reflect.DeepEqual(before, after) {
		if !reflect.DeepEqual(before, theirs) {
			c.differ(path, before, theirs)
		}
		return
	}
	name := path[strings.LastIndexByte(path, '.')+1:]
	a, okA := before.(float64)
	b, okB := after.(float64)
	v, okV := theirs.(float64)
	switch {
	case !slices.Contains(volatile, name) || !okA || !okB:
		c.unsettled = true
	case !okV || v < min(a, b) || v > max(a, b):
		c.unsettled = true // a timer that started anew; a wrong one never fits
	}
}

func (c *comparison) differ(path string, ours, theirs any) {
	c.differences = append(c.differences, fmt.Sprintf("%s: ours %v, theirs %v", path, ours, theirs))
}

// compareAddrGenMode: ip prints this field only in "ip link".
func compareAddrGenMode(t *testing.T, ns *lab.Netns) {
	t.Helper()
	theirs := map[string]any{}
	for _, link := range ipOutput(t, ns, "-d", "link") {
		fields := link.(map[string]any)
		theirs[fields["ifname"].(string)] = fields["inet6_addr_gen_mode"]
	}
	for _, link := range readLinks(t, ns) {
		if theirs[link.Name] != link.AddrGenMode {
			t.Errorf("%s: inet6_addr_gen_mode: ours %q, theirs %v", link.Name, link.AddrGenMode, theirs[link.Name])
		}
	}
}

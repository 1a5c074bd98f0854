package probe

import (
	"encoding/binary"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// attr builds one netlink attribute from a payload: a number of the width of
// its Go type, a string that gets its NUL, bytes, or nested attributes.
func attr(kind int, payload any) []byte {
	var b []byte
	switch v := payload.(type) {
	case uint8:
		b = []byte{v}
	case uint16:
		b = binary.NativeEndian.AppendUint16(nil, v)
	case uint32:
		b = binary.NativeEndian.AppendUint32(nil, v)
	case uint64:
		b = binary.NativeEndian.AppendUint64(nil, v)
	case string:
		b = append([]byte(v), 0)
	case []byte:
		b = v
	case [][]byte:
		for _, inner := range v {
			b = append(b, inner...)
		}
		kind |= unix.NLA_F_NESTED
	}
	return nl.NewRtAttr(kind, b).Serialize()
}

func nested(attrs ...[]byte) [][]byte { return attrs }

// linkBytes builds the payload of an RTM_NEWLINK message.
func linkBytes(hardware uint16, index int, flags uint32, attrs ...[]byte) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint16(b[2:], hardware)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	for _, a := range attrs {
		b = append(b, a...)
	}
	return b
}

// words32 is a struct of 32-bit words in host byte order.
func words32(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	return b
}

// infoKind builds IFLA_LINKINFO.
func infoKind(kind string, data ...[]byte) []byte {
	return attr(unix.IFLA_LINKINFO, nested(attr(unix.IFLA_INFO_KIND, kind), attr(unix.IFLA_INFO_DATA, nested(data...))))
}

// TestRecordedKinds covers kinds that few test machines have. The messages are
// what the drivers send (net/8021q/vlan_netlink.c, drivers/net/ipvlan,
// net/ipv4/ipip.c, net/ipv6/sit.c), the JSON is what ip/iplink_vlan.c,
// ip/iplink_ipvlan.c and ip/link_iptnl.c of iproute2 6.1 print.
func TestRecordedKinds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		kind string
		data [][]byte
		want string
	}{
		{
			name: "vlan", kind: "vlan",
			data: nested(
				attr(unix.IFLA_VLAN_PROTOCOL, []byte{0x81, 0x00}), attr(unix.IFLA_VLAN_ID, uint16(5)),
				attr(unix.IFLA_VLAN_FLAGS, words32(1, ^uint32(0)))),
			want: `{"protocol":"802.1Q","id":5}`,
		},
		{
			name: "vlan with everything", kind: "vlan",
			data: nested(
				attr(unix.IFLA_VLAN_PROTOCOL, []byte{0x88, 0xa8}), attr(unix.IFLA_VLAN_ID, uint16(4094)),
				attr(unix.IFLA_VLAN_FLAGS, words32(0x3f, ^uint32(0))),
				attr(unix.IFLA_VLAN_INGRESS_QOS, nested(attr(unix.IFLA_VLAN_QOS_MAPPING, words32(1, 2)))),
				attr(unix.IFLA_VLAN_EGRESS_QOS, nested(
					attr(unix.IFLA_VLAN_QOS_MAPPING, words32(3, 4)), attr(unix.IFLA_VLAN_QOS_MAPPING, words32(5, 6))))),
			want: `{"protocol":"802.1ad","id":4094}`,
		},
		{
			name: "vlan of an old kernel", kind: "vlan",
			data: nested(attr(unix.IFLA_VLAN_ID, uint16(7))),
			want: `{"id":7}`,
		},
		{name: "vlan without id", kind: "vlan", data: nested(attr(unix.IFLA_VLAN_PROTOCOL, []byte{0x81, 0})), want: `{"protocol":"802.1Q"}`},
		{
			name: "ipvlan", kind: "ipvlan",
			data: nested(attr(unix.IFLA_IPVLAN_MODE, uint16(0)), attr(unix.IFLA_IPVLAN_FLAGS, uint16(0))),
			want: `{"mode":"l2","bridge":true}`,
		},
		{
			name: "ipvlan l3s private", kind: "ipvlan",
			data: nested(attr(unix.IFLA_IPVLAN_MODE, uint16(2)), attr(unix.IFLA_IPVLAN_FLAGS, uint16(1))),
			want: `{"mode":"l3s","private":true}`,
		},
		{
			name: "ipvtap l3 vepa", kind: "ipvtap",
			data: nested(attr(unix.IFLA_IPVLAN_MODE, uint16(1)), attr(unix.IFLA_IPVLAN_FLAGS, uint16(2))),
			want: `{"mode":"l3","vepa":true}`,
		},
		{
			name: "ipvlan mode of the future", kind: "ipvlan",
			data: nested(attr(unix.IFLA_IPVLAN_MODE, uint16(9))),
			want: `{"mode":"unknown"}`,
		},
		{
			// Calico's tunl0 in a pod.
			name: "ipip fallback device", kind: "ipip",
			data: nested(
				attr(nl.IFLA_IPTUN_LINK, uint32(0)), attr(nl.IFLA_IPTUN_LOCAL, []byte{0, 0, 0, 0}),
				attr(nl.IFLA_IPTUN_REMOTE, []byte{0, 0, 0, 0}), attr(nl.IFLA_IPTUN_TTL, uint8(0)),
				attr(nl.IFLA_IPTUN_TOS, uint8(0)), attr(nl.IFLA_IPTUN_PROTO, uint8(unix.IPPROTO_IPIP)),
				attr(nl.IFLA_IPTUN_PMTUDISC, uint8(0)), attr(nl.IFLA_IPTUN_ENCAP_TYPE, uint16(0))),
			want: `{"remote":"any","local":"any","ttl":0,"pmtudisc":false}`,
		},
		{
			name: "ipip with everything", kind: "ipip",
			data: nested(
				attr(nl.IFLA_IPTUN_LINK, uint32(2)), attr(nl.IFLA_IPTUN_LOCAL, []byte{192, 0, 2, 1}),
				attr(nl.IFLA_IPTUN_REMOTE, []byte{192, 0, 2, 9}), attr(nl.IFLA_IPTUN_TTL, uint8(64)),
				attr(nl.IFLA_IPTUN_TOS, uint8(0x10)), attr(nl.IFLA_IPTUN_PROTO, uint8(0)),
				attr(nl.IFLA_IPTUN_PMTUDISC, uint8(1)), attr(nl.IFLA_IPTUN_ENCAP_TYPE, uint16(2)),
				attr(nl.IFLA_IPTUN_ENCAP_FLAGS, uint16(5)), attr(nl.IFLA_IPTUN_ENCAP_SPORT, []byte{0, 80}),
				attr(nl.IFLA_IPTUN_ENCAP_DPORT, []byte{0x15, 0xb3}),
				attr(nl.IFLA_IPTUN_COLLECT_METADATA+1, uint32(0x2a))),
			want: `{"remote":"192.0.2.9","local":"192.0.2.1","link":"eth0","ttl":64,"pmtudisc":true}`,
		},
		{
			name: "ipip for many", kind: "ipip",
			data: nested(attr(nl.IFLA_IPTUN_COLLECT_METADATA, []byte{}), attr(nl.IFLA_IPTUN_REMOTE, []byte{1})),
			want: `{"external":true}`,
		},
		{
			name: "gre", kind: "gre",
			data: nested(attr(nl.IFLA_GRE_LOCAL, []byte{192, 0, 2, 1}), attr(nl.IFLA_GRE_REMOTE, []byte{0, 0, 0, 0}), attr(nl.IFLA_GRE_LINK, uint32(2)),
				attr(nl.IFLA_GRE_IKEY, []byte{0, 0, 0, 7}), attr(nl.IFLA_GRE_OKEY, []byte{0}), attr(nl.IFLA_GRE_TTL, uint8(64)), attr(nl.IFLA_GRE_PMTUDISC, uint8(1))),
			want: `{"local":"192.0.2.1","remote":"any","link":"eth0","ikey":"0.0.0.7","ttl":64,"pmtudisc":true}`,
		},
		{
			name: "bond", kind: "bond",
			data: nested(attr(nl.IFLA_BOND_MODE, uint8(1)), attr(nl.IFLA_BOND_ACTIVE_SLAVE, uint32(2)), attr(nl.IFLA_BOND_MIIMON, uint32(100))),
			want: `{"mode":"active-backup","active_slave":"eth0","miimon":100}`,
		},
		{
			name: "netkit", kind: "netkit",
			data: nested(attr(2, uint8(0)), attr(3, uint32(2)), attr(4, uint32(0)), attr(5, uint32(1))),
			want: `{"mode":"l3","type":"peer","policy":"blackhole","peer_policy":"forward"}`,
		},
		{name: "macvlan mode of the future", kind: "macvlan", data: nested(attr(unix.IFLA_MACVLAN_MODE, uint32(32))),
			want: `{"mode":"unknown"}`},
		{name: "tun type of the future", kind: "tun", data: nested(attr(unix.IFLA_TUN_TYPE, uint8(9))),
			want: `{"type":"unknown"}`},
		{
			name: "several queues", kind: "tun",
			data: nested(
				attr(unix.IFLA_TUN_TYPE, uint8(unix.IFF_TAP)), attr(unix.IFLA_TUN_MULTI_QUEUE, uint8(1)),
				attr(unix.IFLA_TUN_NUM_QUEUES, uint32(4)), attr(unix.IFLA_TUN_NUM_DISABLED_QUEUES, uint32(1))),
			want: `{"type":"tap","multi_queue":true}`,
		},
		{name: "dummy", kind: "dummy", want: `null`},
		{name: "veth", kind: "veth", want: `null`},
		{name: "kind of the future", kind: "hyperlink", data: nested(attr(1, uint32(1))), want: `null`},
		{
			name: "bridge", kind: "bridge",
			data: nested(attr(unix.IFLA_BR_STP_STATE, uint32(1)), attr(unix.IFLA_BR_NF_CALL_IPTABLES, uint8(0)),
				attr(unix.IFLA_BR_AGEING_TIME, []byte{1, 2, 3})), // of no width: left out
			want: `{"stp_state":1,"nf_call_iptables":0}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			links, err := parseLinks([][]byte{
				linkBytes(unix.ARPHRD_ETHER, 2, 0, attr(unix.IFLA_IFNAME, "eth0")),
				linkBytes(unix.ARPHRD_ETHER, 3, 0, attr(unix.IFLA_IFNAME, "x"), infoKind(test.kind, test.data...)),
			}, LinkOptions{Details: true})
			if err != nil {
				t.Fatal(err)
			}
			sameJSON(t, links[1].LinkInfo.Data, test.want)
		})
	}
}

// TestKindWithoutData: iproute2 prints an empty object for a kind that it
// knows.
func TestKindWithoutData(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{"vlan": `{}`, "bridge": `{}`, "tun": `{}`, "ipip": `{}`, "dummy": `null`} {
		links, err := parseLinks([][]byte{linkBytes(unix.ARPHRD_ETHER, 1, 0,
			attr(unix.IFLA_LINKINFO, nested(attr(unix.IFLA_INFO_KIND, kind))))}, LinkOptions{Details: true})
		if err != nil {
			t.Fatal(err)
		}
		sameJSON(t, links[0].LinkInfo.Data, want)
	}
}

// TestRecordedLinks covers the fields of hardware, and of other kernels.
func TestRecordedLinks(t *testing.T) {
	t.Parallel()
	mac := []byte{2, 0, 0, 0, 0, 1}
	tests := []struct {
		name string
		link []byte
		want string
	}{
		{
			name: "network card",
			link: linkBytes(unix.ARPHRD_ETHER, 5, unix.IFF_UP|unix.IFF_RUNNING|unix.IFF_LOWER_UP|1<<20,
				attr(unix.IFLA_IFNAME, "ens1"), attr(unix.IFLA_ADDRESS, mac), attr(unix.IFLA_BROADCAST, []byte{255, 255, 255, 255, 255, 255}),
				attr(unix.IFLA_PERM_ADDRESS, []byte{2, 0, 0, 0, 0, 2}),
				attr(unix.IFLA_PARENT_DEV_BUS_NAME, "pci"), attr(unix.IFLA_PARENT_DEV_NAME, "0000:00:03.0"),
				attr(unix.IFLA_OPERSTATE, uint8(6)), attr(unix.IFLA_CARRIER, uint8(1))),
			want: `{"ifindex":5,"ifname":"ens1","flags":["UP","LOWER_UP","100000"],"operstate":"UP","carrier":true,
				"link_type":"ether","address":"02:00:00:00:00:01","broadcast":"ff:ff:ff:ff:ff:ff","permaddr":"02:00:00:00:00:02",
				"parentbus":"pci","parentdev":"0000:00:03.0"}`,
		},
		{
			name: "point to point, no carrier, unknown state, named group",
			link: linkBytes(unix.ARPHRD_TUNNEL, 6, unix.IFF_UP|unix.IFF_POINTOPOINT, attr(unix.IFLA_IFNAME, "ipip1"),
				attr(unix.IFLA_ADDRESS, []byte{192, 0, 2, 1}), attr(unix.IFLA_BROADCAST, []byte{192, 0, 2, 9}),
				attr(unix.IFLA_OPERSTATE, uint8(9)), attr(unix.IFLA_GROUP, uint32(7)), attr(unix.IFLA_CARRIER, uint8(0))),
			want: `{"ifindex":6,"ifname":"ipip1","flags":["NO-CARRIER","POINTOPOINT","UP"],"operstate_index":9,"carrier":false,
				"link_type":"ipip","address":"192.0.2.1","link_pointtopoint":true,"broadcast":"192.0.2.9","group":"7"}`,
		},
		{
			name: "veth before Linux 5.10, both ends with one index",
			link: linkBytes(unix.ARPHRD_ETHER, 7, 0, attr(unix.IFLA_IFNAME, "eth0"), attr(unix.IFLA_LINK_NETNSID, uint32(0)), infoKind("veth")),
			want: `{"ifindex":7,"ifname":"eth0","link_index":7,"link_netnsid":0,"flags":[],"link_type":"ether","linkinfo":{"info_kind":"veth"}}`,
		},
		{
			name: "other end in a namespace without a number here",
			link: linkBytes(unix.ARPHRD_ETHER, 7, 0, attr(unix.IFLA_IFNAME, "eth0"), attr(unix.IFLA_LINK, uint32(9)), attr(unix.IFLA_LINK_NETNSID, ^uint32(0))),
			want: `{"ifindex":7,"ifname":"eth0","link_index":9,"link_netnsid":-1,"flags":[],"link_type":"ether"}`,
		},
		{
			name: "on an interface that is not in the dump, of unknown hardware",
			link: linkBytes(4711, 8, 0, attr(unix.IFLA_IFNAME, "x"), attr(unix.IFLA_LINK, uint32(99)), attr(unix.IFLA_MASTER, uint32(98))),
			want: `{"ifindex":8,"ifname":"x","link":"if99","master":"if98","flags":[],"link_type":"[4711]"}`,
		},
		{
			name: "names that a container chose",
			link: linkBytes(unix.ARPHRD_ETHER, 9, 0, attr(unix.IFLA_IFNAME, "e\x1b[31m\\\xff"),
				attr(unix.IFLA_IFALIAS, "a b\x00hidden"),
				attr(unix.IFLA_PROP_LIST, nested(attr(unix.IFLA_ALT_IFNAME, "x\u202ey\u200bz\xff"), attr(1, "other")))),
			want: `{"ifindex":9,"ifname":"e\\x1b[31m\\\\\\xff","flags":[],"link_type":"ether",
				"untrusted":{"ifalias":"a b","altnames":["x\\u202ey\\u200bz\\xff"]}}`,
		},
		{
			name: "IPv6 off, address generation of the future",
			link: linkBytes(unix.ARPHRD_ETHER, 10, 0, attr(unix.IFLA_IFNAME, "x"),
				attr(unix.IFLA_AF_SPEC, nested(attr(unix.AF_INET6, nested(
					attr(unix.IFLA_INET6_CONF, append(words32(make([]uint32, 26)...), words32(1, 0, 0)...)),
					attr(unix.IFLA_INET6_ADDR_GEN_MODE, uint8(9))))))),
			want: `{"ifindex":10,"ifname":"x","flags":[],"link_type":"ether","disable_ipv6":true}`,
		},
		{
			name: "offloaded and driver XDP",
			link: linkBytes(unix.ARPHRD_ETHER, 11, 0, attr(unix.IFLA_IFNAME, "x"), attr(unix.IFLA_XDP, nested(
				attr(unix.IFLA_XDP_ATTACHED, uint8(4)), attr(unix.IFLA_XDP_DRV_PROG_ID, uint32(7)), attr(unix.IFLA_XDP_HW_PROG_ID, uint32(8))))),
			want: `{"ifindex":11,"ifname":"x","flags":[],"link_type":"ether",
				"xdp":{"mode":4}}`,
		},
		{
			name: "short statistics of an old kernel",
			link: linkBytes(unix.ARPHRD_ETHER, 12, 0, attr(unix.IFLA_IFNAME, "x"), attr(unix.IFLA_STATS64,
				binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, 3), 4))),
			want: `{"ifindex":12,"ifname":"x","flags":[],"link_type":"ether","stats64":{
				"rx":{"bytes":0,"packets":3,"errors":0,"dropped":0,"over_errors":0,"multicast":0,"length_errors":0,"crc_errors":0,"frame_errors":0,"fifo_errors":0,"missed_errors":0},
				"tx":{"bytes":0,"packets":4,"errors":0,"dropped":0,"carrier_errors":0,"collisions":0,"aborted_errors":0,"fifo_errors":0,"window_errors":0,"heartbeat_errors":0}}}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			links, err := parseLinks([][]byte{test.link}, LinkOptions{Details: true})
			if err != nil {
				t.Fatal(err)
			}
			sameJSON(t, links[0], test.want)
		})
	}
}

func TestAddrAge(t *testing.T) {
	t.Parallel()
	const second = 100 // of the kernel's units
	for _, test := range []struct {
		name    string
		created uint32
		uptime  time.Duration
		want    time.Duration
	}{
		{"older", 10 * second, 15 * time.Second, 5 * time.Second},
		{"of the same tick", 1000 * second, 999*time.Second + 990*time.Millisecond, 0},
		{"the counter has wrapped", ^uint32(0) - 99, (1<<32 + 100) * 10 * time.Millisecond, 2 * time.Second},
	} {
		if got := age(test.created, test.uptime); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestShortMessages(t *testing.T) {
	t.Parallel()
	if _, err := parseLinks([][]byte{make([]byte, unix.SizeofIfInfomsg-1)}, LinkOptions{Details: true}); err == nil {
		t.Error("no error for a short link message")
	}
	if _, err := parseAddrs([][]byte{{2}}, 0); err == nil {
		t.Error("no error for a short address message")
	}
	if _, _, err := parseRoute(nil); err == nil {
		t.Error("no error for a short route message")
	}
}

// TestLinkName: any name can be shown, and no two look alike.
func TestLinkName(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"eth0":       "eth0",
		"grün0":      "grün0",
		"网络0":        "网络0",
		"\x1b[31m":   `\x1b[31m`,
		`\x1b[31m`:   `\\x1b[31m`,
		"\u202egbe":  `\u202egbe`,
		"\u200beth0": `\u200beth0`,
		"a\xffb":     `a\xffb`,
		`a\xffb`:     `a\\xffb`,
	} {
		if got := LinkName(raw); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

// FuzzMessages: whatever the bytes are, parsing ends, without a panic, in
// something that can be encoded.
func FuzzMessages(f *testing.F) {
	f.Add(linkBytes(unix.ARPHRD_ETHER, 1, 0xffff, attr(unix.IFLA_IFNAME, "eth0"),
		infoKind("bridge", attr(unix.IFLA_BR_MULTI_BOOLOPT, words32(1, 3)), attr(unix.IFLA_BR_GC_TIMER, uint64(7)))))
	f.Add(linkBytes(unix.ARPHRD_TUNNEL6, 1, 0, infoKind("vxlan", attr(unix.IFLA_VXLAN_GROUP6, make([]byte, 16)), attr(unix.IFLA_VXLAN_PORT_RANGE, words32(7)))))
	f.Add(linkBytes(unix.ARPHRD_ETHER, 1, 0, infoKind("vlan", attr(unix.IFLA_VLAN_ID, uint16(1)), attr(unix.IFLA_VLAN_INGRESS_QOS, nested(attr(1, words32(1, 2)))))))
	f.Add(linkBytes(unix.ARPHRD_ETHER, 1, 0, infoKind("macvlan", attr(unix.IFLA_MACVLAN_MODE, uint32(16)), attr(unix.IFLA_MACVLAN_MACADDR_DATA, nested(attr(4, make([]byte, 6)))))))
	f.Add(linkBytes(unix.ARPHRD_ETHER, 1, 0, infoKind("ipip", attr(nl.IFLA_IPTUN_ENCAP_TYPE, uint16(9)), attr(nl.IFLA_IPTUN_6RD_PREFIXLEN, uint16(9)))))
	f.Add(linkBytes(unix.ARPHRD_ETHER, 1, 0, attr(unix.IFLA_LINKINFO, nested(attr(unix.IFLA_INFO_SLAVE_KIND, "bridge"), attr(unix.IFLA_INFO_SLAVE_DATA, nested(attr(unix.IFLA_BRPORT_GROUP_FWD_MASK, uint16(0xffff))))))))
	f.Add(append([]byte{unix.AF_INET6, 64, 0x80, 0, 1, 0, 0, 0}, attr(unix.IFA_CACHEINFO, words32(1, 2, 3, 4))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if links, err := parseLinks([][]byte{b, b[len(b)/2:]}, LinkOptions{Details: true}); err == nil {
			for i := range links {
				mustEncode(t, links[i])
				mustEncode(t, links[i].Compact())
			}
		}
		if addresses, err := parseAddrs([][]byte{b}, time.Duration(len(b))*time.Hour); err == nil {
			mustEncode(t, addresses)
		}
		if route, _, err := parseRoute(b); err == nil {
			mustEncode(t, route)
		}
	})
}

func mustEncode(t *testing.T, v any) {
	t.Helper()
	if _, err := json.Marshal(v); err != nil {
		t.Fatal(err)
	}
}

// sameJSON compares the encoding of got with want.
func sameJSON(t *testing.T, got any, want string) {
	t.Helper()
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var g, w any
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

// TestCompact: the short form keeps what tells a healthy interface from a sick
// one, and does not change the long one.
func TestCompact(t *testing.T) {
	t.Parallel()
	long := fact.Link{
		Index: 2, Name: "eth0", Flags: []string{"UP"}, LinkType: "ether",
		LinkInfo: &fact.LinkInfo{Kind: "veth", SlaveKind: "bridge", SlaveData: fact.Attrs{"state": "forwarding"}},
		AddrInfo: []fact.Addr{{Family: "inet", Local: "10.0.0.1", PrefixLen: 24, Scope: "global", AddrDetails: fact.AddrDetails{Label: "eth0"}}},
		HostPeer: &fact.HostPeer{Name: "veth1", Index: 9, Up: true, State: "UP", MTU: 1500, Bridge: "cni0", BridgePort: fact.Attrs{"hairpin": false}},
	}
	long.Qdisc = "noqueue"
	before, err := json.Marshal(long)
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, long.Compact(), `{"ifindex":2,"ifname":"eth0","flags":["UP"],"link_type":"ether","linkinfo":{"info_kind":"veth"},
		"addr_info":[{"family":"inet","local":"10.0.0.1","prefixlen":24,"scope":"global"}],
		"host_peer":{"name":"veth1","index":9,"up":true,"state":"UP","mtu":1500,"bridge":"cni0"}}`)
	sameJSON(t, long, string(before))
}

// TestHardware covers what only hardware has: the port of a switch, and the virtual
// functions of SR-IOV.
func TestHardware(t *testing.T) {
	t.Parallel()
	function := func(number uint32) []byte {
		return attr(unix.IFLA_VF_INFO, nested(
			attr(unix.IFLA_VF_MAC, append(words32(number), 2, 0, 0, 0, 0, 9, 0, 0)),
			attr(unix.IFLA_VF_VLAN, words32(number, 42, 3)),
			attr(unix.IFLA_VF_RATE, words32(number, 10, 100)),
			attr(unix.IFLA_VF_SPOOFCHK, words32(number, 1)),
			attr(unix.IFLA_VF_TRUST, words32(number, 0xffffffff)), // not known
			attr(unix.IFLA_VF_LINK_STATE, words32(number, 2)),
		))
	}
	links, err := parseLinks([][]byte{linkBytes(unix.ARPHRD_ETHER, 2, 0, attr(unix.IFLA_IFNAME, "eth0"),
		attr(unix.IFLA_PHYS_PORT_NAME, "p0"), attr(unix.IFLA_PHYS_PORT_ID, []byte{0xab, 1}), attr(unix.IFLA_PHYS_SWITCH_ID, []byte{0xcd, 2}),
		attr(unix.IFLA_PROTO_DOWN, uint8(1)),
		attr(unix.IFLA_PROTO_DOWN_REASON, nested(attr(unix.IFLA_PROTO_DOWN_REASON_VALUE, uint32(5)))),
		attr(unix.IFLA_VFINFO_LIST, nested(function(0), function(1), attr(unix.IFLA_VF_INFO, nested(attr(unix.IFLA_VF_MAC, []byte{1}))))),
	)}, LinkOptions{Details: true})
	if err != nil {
		t.Fatal(err)
	}
	d := links[0].LinkDetails
	if d.PhysPortName != "p0" || d.PhysPortID != "ab01" || d.PhysSwitchID != "cd02" || !d.ProtoDown || !reflect.DeepEqual(d.ProtoDownReason, []string{"0", "2"}) {
		t.Errorf("%+v", d)
	}
	sameJSON(t, d.VFs, `[
		{"vf":0,"address":"02:00:00:00:00:09","vlan":42,"qos":3,"min_tx_rate":10,"max_tx_rate":100,"spoofchk":true,"link_state":"disable"},
		{"vf":1,"address":"02:00:00:00:00:09","vlan":42,"qos":3,"min_tx_rate":10,"max_tx_rate":100,"spoofchk":true,"link_state":"disable"},
		{}]`)
}

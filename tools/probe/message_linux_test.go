package probe

import (
	"encoding/binary"
	"encoding/json"
	"reflect"
	"strings"
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
	return appendAttribute(nil, kind, b)
}

func nested(attrs ...[]byte) [][]byte { return attrs }

// linkBytes builds the payload of an RTM_NEWLINK message.
func linkBytes(hardware uint16, index int, flags uint32, attrs ...[]byte) []byte {
	b := make([]byte, ifinfoSize)
	binary.NativeEndian.PutUint16(b[2:], hardware)
	binary.NativeEndian.PutUint32(b[4:], u32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	for _, a := range attrs {
		b = append(b, a...)
	}
	return b
}

// words is a struct of 32-bit words in host byte order.
func words(values ...uint32) []byte {
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
				attr(unix.IFLA_VLAN_FLAGS, words(1, ^uint32(0)))),
			want: `{"protocol":"802.1Q","id":5,"flags":["REORDER_HDR"]}`,
		},
		{
			name: "vlan with everything", kind: "vlan",
			data: nested(
				attr(unix.IFLA_VLAN_PROTOCOL, []byte{0x88, 0xa8}), attr(unix.IFLA_VLAN_ID, uint16(4094)),
				attr(unix.IFLA_VLAN_FLAGS, words(0x3f, ^uint32(0))),
				attr(unix.IFLA_VLAN_INGRESS_QOS, nested(attr(unix.IFLA_VLAN_QOS_MAPPING, words(1, 2)))),
				attr(unix.IFLA_VLAN_EGRESS_QOS, nested(
					attr(unix.IFLA_VLAN_QOS_MAPPING, words(3, 4)), attr(unix.IFLA_VLAN_QOS_MAPPING, words(5, 6))))),
			want: `{"protocol":"802.1ad","id":4094,
				"flags":["REORDER_HDR","GVRP","MVRP","LOOSE_BINDING","BRIDGE_BINDING","20"],
				"ingress_qos":[{"from":1,"to":2}],"egress_qos":[{"from":3,"to":4},{"from":5,"to":6}]}`,
		},
		{
			name: "vlan of an old kernel", kind: "vlan",
			data: nested(attr(unix.IFLA_VLAN_ID, uint16(7))),
			want: `{"protocol":"802.1q","id":7}`,
		},
		{name: "vlan without id", kind: "vlan", data: nested(attr(unix.IFLA_VLAN_PROTOCOL, []byte{0x81, 0})), want: `{}`},
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
			want: `{"proto":"ipip","remote":"any","local":"any","ttl":0,"pmtudisc":false}`,
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
			want: `{"proto":"any","remote":"192.0.2.9","local":"192.0.2.1","link":"eth0","ttl":64,"tos":"0x10",
				"pmtudisc":true,"fwmark":"0x2a",
				"encap":{"type":"gue","sport":80,"dport":5555,"csum":true,"csum6":false,"remcsum":true}}`,
		},
		{
			name: "ipip for many", kind: "ipip",
			data: nested(attr(nl.IFLA_IPTUN_COLLECT_METADATA, []byte{}), attr(nl.IFLA_IPTUN_REMOTE, []byte{1})),
			want: `{"external":true,"remote":"unknown","local":"any","ttl":0,"pmtudisc":false}`,
		},
		{
			name: "sit with 6rd", kind: "sit",
			data: nested(
				attr(nl.IFLA_IPTUN_PROTO, uint8(unix.IPPROTO_IPV6)), attr(nl.IFLA_IPTUN_FLAGS, uint16(1)),
				attr(nl.IFLA_IPTUN_6RD_PREFIX, []byte{0x20, 0x01, 0x0d, 0xb8, 15: 0}),
				attr(nl.IFLA_IPTUN_6RD_PREFIXLEN, uint16(32)), attr(nl.IFLA_IPTUN_6RD_RELAY_PREFIX, []byte{10, 0, 0, 0}),
				attr(nl.IFLA_IPTUN_6RD_RELAY_PREFIXLEN, uint16(8)), attr(nl.IFLA_IPTUN_ENCAP_TYPE, uint16(1))),
			want: `{"proto":"ip6ip","remote":"any","local":"any","ttl":0,"pmtudisc":false,"isatap":true,
				"prefix":"2001:db8::","prefixlen":32,"relay_prefix":"10.0.0.0","relay_prefixlen":8,
				"encap":{"type":"fou","csum":false,"csum6":false,"remcsum":false}}`,
		},
		{name: "mpls tunnel", kind: "ipip", data: nested(attr(nl.IFLA_IPTUN_PROTO, uint8(unix.IPPROTO_MPLS))),
			want: `{"proto":"mplsip","remote":"any","local":"any","ttl":0,"pmtudisc":false}`},
		{name: "macvlan mode of the future", kind: "macvlan", data: nested(attr(unix.IFLA_MACVLAN_MODE, uint32(32))),
			want: `{"mode":"unknown"}`},
		{name: "tun type of the future", kind: "tun", data: nested(attr(unix.IFLA_TUN_TYPE, uint8(9))),
			want: `{"type":"UNKNOWN:9","multi_queue":false}`},
		{
			name: "several queues", kind: "tun",
			data: nested(
				attr(unix.IFLA_TUN_TYPE, uint8(unix.IFF_TAP)), attr(unix.IFLA_TUN_MULTI_QUEUE, uint8(1)),
				attr(unix.IFLA_TUN_NUM_QUEUES, uint32(4)), attr(unix.IFLA_TUN_NUM_DISABLED_QUEUES, uint32(1))),
			want: `{"type":"tap","multi_queue":true,"numqueues":4,"numdisabled":1}`,
		},
		{name: "dummy", kind: "dummy", want: `null`},
		{name: "veth", kind: "veth", want: `null`},
		{name: "kind of the future", kind: "hyperlink", data: nested(attr(1, uint32(1))), want: `null`},
		{
			name: "bridge with a root elsewhere", kind: "bridge",
			data: nested(
				attr(unix.IFLA_BR_BRIDGE_ID, []byte{0x80, 0x00, 2, 0, 0, 0, 0, 1}),
				attr(unix.IFLA_BR_ROOT_ID, []byte{0x10, 0x00, 2, 0, 0, 0, 0, 0x0a}),
				attr(unix.IFLA_BR_VLAN_PROTOCOL, []byte{0x88, 0xcc}), attr(unix.IFLA_BR_GC_TIMER, uint64(12345)),
				attr(unix.IFLA_BR_PRIORITY, []byte{1})), // too short: left out
			want: `{"bridge_id":"8000.2:0:0:0:0:1","root_id":"1000.2:0:0:0:0:a","vlan_protocol":"[35020]","gc_timer":123.45}`,
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
				attr(unix.IFLA_PERM_ADDRESS, []byte{2, 0, 0, 0, 0, 2}), attr(unix.IFLA_PHYS_PORT_NAME, "p0"),
				attr(unix.IFLA_PHYS_PORT_ID, []byte{0xab, 0x01}), attr(unix.IFLA_PHYS_SWITCH_ID, []byte{0, 0xff}),
				attr(unix.IFLA_PARENT_DEV_BUS_NAME, "pci"), attr(unix.IFLA_PARENT_DEV_NAME, "0000:00:03.0"),
				attr(unix.IFLA_OPERSTATE, uint8(6)), attr(unix.IFLA_CARRIER, uint8(1))),
			want: `{"ifindex":5,"ifname":"ens1","flags":["UP","LOWER_UP","100000"],"operstate":"UP","carrier":true,
				"link_type":"ether","address":"02:00:00:00:00:01","broadcast":"ff:ff:ff:ff:ff:ff","permaddr":"02:00:00:00:00:02",
				"phys_port_name":"p0","phys_port_id":"ab01","phys_switch_id":"00ff","parentbus":"pci","parentdev":"0000:00:03.0"}`,
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
			link: linkBytes(unix.ARPHRD_ETHER, 9, 0, attr(unix.IFLA_IFNAME, "e\x1b[31m\\\xff\n"),
				attr(unix.IFLA_IFALIAS, "a b\x00hidden"),
				attr(unix.IFLA_PROP_LIST, nested(attr(unix.IFLA_ALT_IFNAME, "x\u202ey\u200bz\xff"), attr(1, "other")))),
			want: `{"ifindex":9,"ifname":"e\\x1b[31m\\\\\\xff\\x0a","flags":[],"link_type":"ether",
				"untrusted":{"ifalias":"a b","altnames":["x\\u{202e}y\\u{200b}z\\xff"]}}`,
		},
		{
			name: "IPv6 off, address generation of the future",
			link: linkBytes(unix.ARPHRD_ETHER, 10, 0, attr(unix.IFLA_IFNAME, "x"),
				attr(unix.IFLA_AF_SPEC, nested(attr(unix.AF_INET6, nested(
					attr(unix.IFLA_INET6_CONF, append(words(make([]uint32, 26)...), words(1, 0, 0)...)),
					attr(unix.IFLA_INET6_ADDR_GEN_MODE, uint8(9))))))),
			want: `{"ifindex":10,"ifname":"x","flags":[],"link_type":"ether","disable_ipv6":true,"inet6_addr_gen_mode":"0x9"}`,
		},
		{
			name: "offloaded and driver XDP",
			link: linkBytes(unix.ARPHRD_ETHER, 11, 0, attr(unix.IFLA_IFNAME, "x"), attr(unix.IFLA_XDP, nested(
				attr(unix.IFLA_XDP_ATTACHED, uint8(4)), attr(unix.IFLA_XDP_DRV_PROG_ID, uint32(7)), attr(unix.IFLA_XDP_HW_PROG_ID, uint32(8))))),
			want: `{"ifindex":11,"ifname":"x","flags":[],"link_type":"ether",
				"xdp":{"mode":4,"attached":[{"mode":1,"prog":{"id":7}},{"mode":3,"prog":{"id":8}}]}}`,
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

// TestVirtualFunctions: as ip/ipaddress.c (print_vfinfo) prints them.
func TestVirtualFunctions(t *testing.T) {
	t.Parallel()
	mac := append(words(0), 2, 0, 0, 0, 0, 9)
	mac = append(mac, make([]byte, 26)...) // struct ifla_vf_mac: MAX_ADDR_LEN
	full := attr(unix.IFLA_VF_INFO, nested(
		attr(unix.IFLA_VF_MAC, mac), attr(unix.IFLA_VF_BROADCAST, append([]byte{255, 255, 255, 255, 255, 255}, make([]byte, 26)...)),
		attr(unix.IFLA_VF_VLAN, words(0, 5, 1)),
		attr(unix.IFLA_VF_VLAN_LIST, nested(
			attr(unix.IFLA_VF_VLAN_INFO, append(words(0, 5, 1), 0x81, 0x00, 0, 0)),
			attr(unix.IFLA_VF_VLAN_INFO, append(words(0, 6, 0), 0x88, 0xa8, 0, 0)))),
		attr(unix.IFLA_VF_TX_RATE, words(0, 100)), attr(unix.IFLA_VF_RATE, words(0, 10, 100)),
		attr(unix.IFLA_VF_SPOOFCHK, words(0, 1)), attr(unix.IFLA_VF_LINK_STATE, words(0, 1)),
		attr(unix.IFLA_VF_RSS_QUERY_EN, words(0, ^uint32(0))), attr(unix.IFLA_VF_TRUST, words(0, 0)),
		attr(unix.IFLA_VF_STATS, nested(
			attr(unix.IFLA_VF_STATS_RX_PACKETS, uint64(1)), attr(unix.IFLA_VF_STATS_TX_PACKETS, uint64(2)),
			attr(unix.IFLA_VF_STATS_RX_BYTES, uint64(3)), attr(unix.IFLA_VF_STATS_TX_BYTES, uint64(4)),
			attr(unix.IFLA_VF_STATS_BROADCAST, uint64(5)), attr(unix.IFLA_VF_STATS_MULTICAST, uint64(6)),
			attr(unix.IFLA_VF_STATS_RX_DROPPED, uint64(7)), attr(unix.IFLA_VF_STATS_TX_DROPPED, uint64(8))))))
	plain := attr(unix.IFLA_VF_INFO, nested(
		attr(unix.IFLA_VF_MAC, append(words(1), mac[4:]...)), attr(unix.IFLA_VF_VLAN, words(1, 7, 0)),
		attr(unix.IFLA_VF_TX_RATE, words(1, 0)), attr(unix.IFLA_VF_LINK_STATE, words(1, 0)),
		attr(unix.IFLA_VF_IB_NODE_GUID, append(words(1, 0), 8, 7, 6, 5, 4, 3, 2, 1))))
	got := virtualFunctions(append(full, plain...), unix.ARPHRD_ETHER, 0)
	guid := "08:07:06:05:04:03:02:01"
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		guid = "01:02:03:04:05:06:07:08"
	}
	sameJSON(t, got, `[
		{"vf":0,"link_type":"ether","address":"02:00:00:00:00:09","broadcast":"ff:ff:ff:ff:ff:ff",
		 "vlan_list":[{"vlan":5,"qos":1},{"vlan":6,"protocol":"802.1ad"}],"tx_rate":100,"rate":{"max_tx":100,"min_tx":10},
		 "spoofchk":true,"link_state":"enable","trust":false,
		 "stats":{"rx":{"bytes":3,"packets":1,"multicast":6,"broadcast":5,"dropped":7},"tx":{"tx_bytes":4,"tx_packets":2,"dropped":8}}},
		{"vf":1,"link_type":"ether","address":"02:00:00:00:00:09","vlan":7,"link_state":"auto","node guid":"`+guid+`"}]`)
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
	if _, err := parseLinks([][]byte{make([]byte, ifinfoSize-1)}, LinkOptions{Details: true}); err == nil {
		t.Error("no error for a short link message")
	}
	if _, err := parseAddrs([][]byte{{2}}, 0); err == nil {
		t.Error("no error for a short address message")
	}
	if _, _, err := parseRoute(nil); err == nil {
		t.Error("no error for a short route message")
	}
}

// TestFreeText: bounded, whole characters, nothing invisible.
func TestFreeText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain text":             "plain text",
		"grüße 网络":               "grüße 网络",
		"a\tb\r\nc":              `a\u{9}b\u{d}\u{a}c`,
		"\x1b[31mred":            `\u{1b}[31mred`,
		"\u2066x\u2069":          `\u{2066}x\u{2069}`,
		"no\u00a0break":          `no\u{a0}break`,
		strings.Repeat("x", 999): strings.Repeat("x", maxFreeText),
	} {
		if got := freeText(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// FuzzMessages: whatever the bytes are, parsing ends, without a panic, in
// something that can be encoded.
func FuzzMessages(f *testing.F) {
	f.Add(linkBytes(unix.ARPHRD_ETHER, 1, 0xffff, attr(unix.IFLA_IFNAME, "eth0"),
		infoKind("bridge", attr(unix.IFLA_BR_MULTI_BOOLOPT, words(1, 3)), attr(unix.IFLA_BR_GC_TIMER, uint64(7)))))
	f.Add(linkBytes(unix.ARPHRD_TUNNEL6, 1, 0, infoKind("vxlan", attr(unix.IFLA_VXLAN_GROUP6, make([]byte, 16)), attr(unix.IFLA_VXLAN_PORT_RANGE, words(7)))))
	f.Add(linkBytes(unix.ARPHRD_ETHER, 1, 0, infoKind("vlan", attr(unix.IFLA_VLAN_ID, uint16(1)), attr(unix.IFLA_VLAN_INGRESS_QOS, nested(attr(1, words(1, 2)))))))
	f.Add(linkBytes(unix.ARPHRD_ETHER, 1, 0, infoKind("macvlan", attr(unix.IFLA_MACVLAN_MODE, uint32(16)), attr(unix.IFLA_MACVLAN_MACADDR_DATA, nested(attr(4, make([]byte, 6)))))))
	f.Add(linkBytes(unix.ARPHRD_ETHER, 1, 0, infoKind("ipip", attr(nl.IFLA_IPTUN_ENCAP_TYPE, uint16(9)), attr(nl.IFLA_IPTUN_6RD_PREFIXLEN, uint16(9)))))
	f.Add(linkBytes(unix.ARPHRD_INFINIBAND, 1, 0, attr(unix.IFLA_VFINFO_LIST, nested(attr(unix.IFLA_VF_INFO, nested(attr(unix.IFLA_VF_MAC, make([]byte, 36)), attr(unix.IFLA_VF_IB_PORT_GUID, make([]byte, 16))))))))
	f.Add(linkBytes(unix.ARPHRD_ETHER, 1, 0, attr(unix.IFLA_LINKINFO, nested(attr(unix.IFLA_INFO_SLAVE_KIND, "bridge"), attr(unix.IFLA_INFO_SLAVE_DATA, nested(attr(unix.IFLA_BRPORT_GROUP_FWD_MASK, uint16(0xffff))))))))
	f.Add(append([]byte{unix.AF_INET6, 64, 0x80, 0, 1, 0, 0, 0}, attr(unix.IFA_CACHEINFO, words(1, 2, 3, 4))...))
	f.Add(datagram(unix.RTM_NEWLINK, unix.NLM_F_MULTI, 0, []byte{1}, []byte{2, 3}))
	f.Add(datagram(unix.NLMSG_ERROR, 0, 0, words(^uint32(0))))
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
		a := answer{want: unix.RTM_NEWLINK, memory: new(routeMemory)}
		if err := a.add(b); err == nil && len(a.payloads) > len(b)/unix.SizeofNlMsghdr {
			t.Errorf("%d messages in %d bytes", len(a.payloads), len(b))
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

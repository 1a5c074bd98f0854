package probe

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/tools/fact"
)

var errShortMessage = errors.New("netlink message is shorter than its header")

// linkMessage is one RTM_NEWLINK message (rtnetlink(7)) without its netlink
// header, split into attributes.
type linkMessage struct {
	hardware uint16
	index    int
	flags    uint32
	attrs    attributes
}

func splitLinkMessage(b []byte) (linkMessage, error) {
	if len(b) < unix.SizeofIfInfomsg { // family, hardware type, index, flags, change mask
		return linkMessage{}, errShortMessage
	}
	return linkMessage{
		hardware: binary.NativeEndian.Uint16(b[2:]),
		index:    signed(binary.NativeEndian.Uint32(b[4:])),
		flags:    binary.NativeEndian.Uint32(b[8:]),
		attrs:    parseAttributes(b[unix.SizeofIfInfomsg:], unix.IFLA_ALLMULTI),
	}, nil
}

func (m *linkMessage) name() string { return m.attrs.text(unix.IFLA_IFNAME) }

func (m *linkMessage) kind() string {
	return m.attrs.nested(unix.IFLA_LINKINFO, unix.IFLA_INFO_KIND).text(unix.IFLA_INFO_KIND)
}

// linkNames are the interfaces of one dump, to which its messages refer by
// index.
type linkNames map[int]linkName

type linkName struct {
	name string
	up   bool
}

// name falls back to iproute2's way to write an interface that is not there.
func (n linkNames) name(index int) string {
	if link, ok := n[index]; ok {
		return link.name
	}
	return "if" + strconv.Itoa(index)
}

// parseLinks turns the messages of one RTM_GETLINK dump into facts, in their
// order. It is pure. Attributes that it does not understand are left out.
func parseLinks(messages [][]byte, options LinkOptions) ([]fact.Link, error) {
	split := make([]linkMessage, len(messages))
	names := make(linkNames, len(messages))
	for i, b := range messages {
		m, err := splitLinkMessage(b)
		if err != nil {
			return nil, err
		}
		split[i] = m
		names[m.index] = linkName{name: m.name(), up: m.flags&unix.IFF_UP != 0}
	}
	links := make([]fact.Link, len(messages))
	for i := range split {
		links[i] = split[i].link(names, options)
	}
	return links, nil
}

func (m *linkMessage) link(names linkNames, options LinkOptions) fact.Link {
	tb := m.attrs
	link := fact.Link{
		Index:    m.index,
		Name:     m.name(),
		MTU:      tb.number(unix.IFLA_MTU),
		LinkType: hardwareType(m.hardware),
		Address:  hardwareAddress(tb[unix.IFLA_ADDRESS], m.hardware),
	}
	lowerDown := m.lower(&link, names)
	link.Flags = linkFlags(m.flags, lowerDown)
	if master, ok := tb.signed(unix.IFLA_MASTER); ok {
		link.Master = names.name(master)
	}
	if state, ok := tb.uint(unix.IFLA_OPERSTATE); ok {
		if state < uint64(len(operStates)) {
			link.OperState = operStates[state]
		} else {
			link.OperStateIndex = tb.number(unix.IFLA_OPERSTATE)
		}
	}
	if carrier, ok := tb.uint(unix.IFLA_CARRIER); ok {
		link.Carrier = new(carrier != 0)
	}
	if tb.has(unix.IFLA_LINKINFO) {
		link.LinkInfo = linkInfo(tb[unix.IFLA_LINKINFO], names, options)
	}
	m.ipv6(&link)
	switch {
	case options.Details:
		m.details(&link.LinkDetails)
	case countsErrors(tb[unix.IFLA_STATS64]):
		link.Stats64 = stats64(tb)
	}
	return link
}

// lower sets what the link stands on and reports whether that is known to be
// down.
func (m *linkMessage) lower(link *fact.Link, names linkNames) bool {
	id, elsewhere := m.attrs.signed(unix.IFLA_LINK_NETNSID)
	if elsewhere {
		link.LinkNetnsID = &id
	}
	index, ok := m.attrs.signed(unix.IFLA_LINK)
	switch {
	case elsewhere && !ok:
		// Before Linux 5.10 the index is left out where it equals the link's own.
		link.LinkIndex = new(m.index)
	case !ok || index == 0:
	case elsewhere:
		link.LinkIndex = &index
	default:
		link.Lower = names.name(index)
		below, known := names[index]
		return known && !below.up
	}
	return false
}

// ipv6 reads the interface's part of IPv6 (net/ipv6/addrconf.c,
// inet6_fill_ifla6_attrs).
func (m *linkMessage) ipv6(link *fact.Link) {
	spec := parseAttributes(m.attrs[unix.IFLA_AF_SPEC], unix.AF_INET6)
	if !spec.has(unix.AF_INET6) {
		return
	}
	tb := spec.nested(unix.AF_INET6, unix.IFLA_INET6_RA_MTU)
	if mode, ok := tb.uint(unix.IFLA_INET6_ADDR_GEN_MODE); ok && mode < uint64(len(addrGenModes)) {
		link.AddrGenMode = addrGenModes[mode]
	}
	// The interface's sysctls as an array of int32; the position is part of the
	// kernel's ABI (DEVCONF_DISABLE_IPV6 of linux/ipv6.h).
	const disableIPv6 = 26
	if conf := tb[unix.IFLA_INET6_CONF]; len(conf) >= 4*(disableIPv6+1) {
		link.IPv6Disabled = new(binary.NativeEndian.Uint32(conf[4*disableIPv6:]) != 0)
	}
}

// addrGenModes are IN6_ADDR_GEN_MODE_* of linux/if_link.h.
var addrGenModes = [...]string{"eui64", "none", "stable_secret", "random"}

func (m *linkMessage) details(d *fact.LinkDetails) {
	tb := m.attrs
	d.XDP = xdp(tb[unix.IFLA_XDP])
	d.Qdisc = tb.text(unix.IFLA_QDISC)
	if group, ok := tb.signed(unix.IFLA_GROUP); ok {
		d.Group = groupName(group)
	}
	d.TxQLen, _ = tb.signed(unix.IFLA_TXQLEN)
	if tb.has(unix.IFLA_BROADCAST) {
		d.PointToPoint = m.flags&unix.IFF_POINTOPOINT != 0
		d.Broadcast = hardwareAddress(tb[unix.IFLA_BROADCAST], m.hardware)
	}
	if permanent := tb[unix.IFLA_PERM_ADDRESS]; !bytes.Equal(permanent, tb[unix.IFLA_ADDRESS]) {
		d.PermAddr = hardwareAddress(permanent, m.hardware)
	}
	protoDown, _ := tb.uint(unix.IFLA_PROTO_DOWN)
	d.ProtoDown = protoDown != 0
	reasons, _ := tb.nested(unix.IFLA_PROTO_DOWN_REASON, unix.IFLA_PROTO_DOWN_REASON_MAX).uint(unix.IFLA_PROTO_DOWN_REASON_VALUE)
	for bit := range 32 {
		if reasons>>bit&1 != 0 {
			d.ProtoDownReason = append(d.ProtoDownReason, strconv.Itoa(bit))
		}
	}
	d.Promiscuity = tb.number(unix.IFLA_PROMISCUITY)
	d.AllMulti = tb.number(unix.IFLA_ALLMULTI)
	d.MinMTU = tb.number(unix.IFLA_MIN_MTU)
	d.MaxMTU = tb.number(unix.IFLA_MAX_MTU)
	d.NumTxQueues = tb.number(unix.IFLA_NUM_TX_QUEUES)
	d.NumRxQueues = tb.number(unix.IFLA_NUM_RX_QUEUES)
	d.GSOMaxSize = tb.number(unix.IFLA_GSO_MAX_SIZE)
	d.GSOMaxSegs = tb.number(unix.IFLA_GSO_MAX_SEGS)
	d.TSOMaxSize = tb.number(unix.IFLA_TSO_MAX_SIZE)
	d.TSOMaxSegs = tb.number(unix.IFLA_TSO_MAX_SEGS)
	d.GROMaxSize = tb.number(unix.IFLA_GRO_MAX_SIZE)
	d.PhysPortName = tb.text(unix.IFLA_PHYS_PORT_NAME)
	d.PhysPortID = hex.EncodeToString(tb[unix.IFLA_PHYS_PORT_ID])
	d.PhysSwitchID = hex.EncodeToString(tb[unix.IFLA_PHYS_SWITCH_ID])
	for kind, payload := range eachAttribute(tb[unix.IFLA_VFINFO_LIST]) {
		if kind == unix.IFLA_VF_INFO {
			d.VFs = append(d.VFs, decode(payload, vfFields, nil))
		}
	}
	d.ParentBus = tb.text(unix.IFLA_PARENT_DEV_BUS_NAME)
	d.ParentDev = tb.text(unix.IFLA_PARENT_DEV_NAME)
	d.Stats64 = stats64(tb)
	d.Untrusted = linkText(tb)
}

// linkText is bounded by the kernel: an alias by IFALIASZ, a name by ALTIFNAMSIZ, and
// all names together by what a link's message holds.
func linkText(tb attributes) *fact.LinkText {
	var text fact.LinkText
	text.IfAlias = words.Escape(cString(tb[unix.IFLA_IFALIAS]))
	for kind, payload := range eachAttribute(tb[unix.IFLA_PROP_LIST]) {
		if kind == unix.IFLA_ALT_IFNAME {
			text.AltNames = append(text.AltNames, words.Escape(cString(payload)))
		}
	}
	if text.IfAlias == "" && text.AltNames == nil {
		return nil
	}
	return &text
}

// xdp reads IFLA_XDP, which the kernel also sends where nothing is attached.
func xdp(b []byte) fact.Attrs {
	tb := parseAttributes(b, unix.IFLA_XDP_PROG_ID)
	mode, _ := tb.uint(unix.IFLA_XDP_ATTACHED)
	if mode == 0 { // XDP_ATTACHED_NONE
		return nil
	}
	out := fact.Attrs{"mode": mode}
	if id, _ := tb.uint(unix.IFLA_XDP_PROG_ID); id != 0 {
		out["prog"] = fact.Attrs{"id": id}
	}
	return out
}

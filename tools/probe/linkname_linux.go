package probe

import (
	"encoding/hex"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// The names in this file are iproute2's (ip/ipaddress.c, lib/ll_types.c,
// lib/rt_names.c, lib/ll_proto.c), without what an administrator may have added
// under /etc/iproute2.

// flagNames are printed in this order.
var flagNames = [...]struct {
	bit  uint32
	name string
}{
	{unix.IFF_LOOPBACK, "LOOPBACK"},
	{unix.IFF_BROADCAST, "BROADCAST"},
	{unix.IFF_POINTOPOINT, "POINTOPOINT"},
	{unix.IFF_MULTICAST, "MULTICAST"},
	{unix.IFF_NOARP, "NOARP"},
	{unix.IFF_ALLMULTI, "ALLMULTI"},
	{unix.IFF_PROMISC, "PROMISC"},
	{unix.IFF_MASTER, "MASTER"},
	{unix.IFF_SLAVE, "SLAVE"},
	{unix.IFF_DEBUG, "DEBUG"},
	{unix.IFF_DYNAMIC, "DYNAMIC"},
	{unix.IFF_AUTOMEDIA, "AUTOMEDIA"},
	{unix.IFF_PORTSEL, "PORTSEL"},
	{unix.IFF_NOTRAILERS, "NOTRAILERS"},
	{unix.IFF_UP, "UP"},
	{unix.IFF_LOWER_UP, "LOWER_UP"},
	{unix.IFF_DORMANT, "DORMANT"},
	{unix.IFF_ECHO, "ECHO"},
}

// linkFlags names the bits of ifi_flags. lowerDown is whether the interface
// below is known and down.
func linkFlags(flags uint32, lowerDown bool) []string {
	names := make([]string, 0, 6)
	if flags&unix.IFF_UP != 0 && flags&unix.IFF_RUNNING == 0 {
		names = append(names, "NO-CARRIER")
	}
	flags &^= unix.IFF_RUNNING
	for _, f := range flagNames {
		if flags&f.bit != 0 {
			names = append(names, f.name)
			flags &^= f.bit
		}
	}
	if flags != 0 {
		names = append(names, strconv.FormatUint(uint64(flags), 16))
	}
	if lowerDown {
		names = append(names, "M-DOWN")
	}
	return names
}

// operStates are IF_OPER_* of linux/if.h.
var operStates = [...]string{"UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP"}

// hardwareTypes are the ARPHRD_* of linux/if_arp.h that containers and nodes have;
// iproute2 names more.
var hardwareTypes = map[uint16]string{
	unix.ARPHRD_ETHER: "ether", unix.ARPHRD_LOOPBACK: "loopback", unix.ARPHRD_NONE: "none", unix.ARPHRD_VOID: "void",
	unix.ARPHRD_TUNNEL: "ipip", unix.ARPHRD_TUNNEL6: "tunnel6", unix.ARPHRD_SIT: "sit", unix.ARPHRD_IPGRE: "gre",
	unix.ARPHRD_IP6GRE: "gre6", unix.ARPHRD_INFINIBAND: "infiniband", unix.ARPHRD_PPP: "ppp", unix.ARPHRD_CAN: "can",
	unix.ARPHRD_IEEE80211: "ieee802.11", unix.ARPHRD_NETLINK: "netlink",
}

func hardwareType(kind uint16) string {
	if name, ok := hardwareTypes[kind]; ok {
		return name
	}
	return "[" + strconv.Itoa(int(kind)) + "]"
}

// hardwareAddress writes the link-layer address b: an IP address for tunnels
// over IP, pairs of hexadecimal digits otherwise.
func hardwareAddress(b []byte, kind uint16) string {
	switch kind {
	case unix.ARPHRD_TUNNEL, unix.ARPHRD_SIT, unix.ARPHRD_IPGRE:
		if len(b) == 4 {
			return ipAddress(b)
		}
	case unix.ARPHRD_TUNNEL6, unix.ARPHRD_IP6GRE:
		if len(b) == 16 {
			return ipAddress(b)
		}
	}
	if len(b) == 0 {
		return ""
	}
	out := make([]byte, 0, 3*len(b))
	for i := range b {
		out = append(hex.AppendEncode(out, b[i:i+1]), ':')
	}
	return string(out[:len(out)-1])
}

// ipAddress writes 4 or 16 bytes; others are no address.
func ipAddress(b []byte) string {
	ip, ok := netip.AddrFromSlice(b)
	if !ok {
		return ""
	}
	return ip.String()
}

// groupName is the name of an interface group.
func groupName(group int) string {
	if group == 0 {
		return "default"
	}
	return strconv.Itoa(group)
}

func scopeName(scope uint8) string {
	switch scope {
	case unix.RT_SCOPE_UNIVERSE:
		return "global"
	case unix.RT_SCOPE_SITE:
		return "site"
	case unix.RT_SCOPE_LINK:
		return "link"
	case unix.RT_SCOPE_HOST:
		return "host"
	case unix.RT_SCOPE_NOWHERE:
		return "nowhere"
	}
	return strconv.Itoa(int(scope))
}

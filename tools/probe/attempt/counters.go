package attempt

import (
	"strconv"
	"strings"
)

// wanted are the counters that tell something about one connection; the names
// are those of /proc/net/snmp, netstat and snmp6.
var wanted = [...]string{
	"Tcp.AttemptFails",
	"Tcp.EstabResets",
	"Tcp.RetransSegs",
	"Tcp.InErrs",
	"Tcp.OutRsts",
	"Tcp.InCsumErrors",
	"Ip.InAddrErrors",
	"Ip.InDiscards",
	"Ip.OutDiscards",
	"Ip.OutNoRoutes",
	"Icmp.InDestUnreachs",
	"Icmp.InTimeExcds",
	"Icmp.OutDestUnreachs",
	"TcpExt.TCPSynRetrans",
	"TcpExt.TCPTimeouts",
	"TcpExt.TCPRetransFail",
	"TcpExt.TCPSpuriousRtxHostQueues",
	"TcpExt.IPReversePathFilter",
	"TcpExt.LockDroppedIcmps",
	"TcpExt.ListenOverflows",
	"TcpExt.ListenDrops",
	"TcpExt.TCPReqQFullDoCookies",
	"TcpExt.TCPReqQFullDrop",
	"TcpExt.TCPAbortOnData",
	"TcpExt.TCPAbortOnTimeout",
	"Ip6InAddrErrors",
	"Ip6InDiscards",
	"Ip6OutDiscards",
	"Ip6OutNoRoutes",
	"Icmp6InDestUnreachs",
	"Icmp6OutDestUnreachs",
}

// Moved returns by how much each of the named counters grew between two readings of
// [ReadCounters]. A counter that shrank (it wrapped, or belongs to another namespace)
// is left out.
func Moved(before, after []byte, names []string) map[string]uint64 {
	old, now := parseCounters(string(before)), parseCounters(string(after))
	var delta map[string]uint64
	for _, name := range names {
		if now[name] > old[name] {
			if delta == nil {
				delta = make(map[string]uint64)
			}
			delta[name] = now[name] - old[name]
		}
	}
	return delta
}

// parseCounters reads a line of names and a line of values for each protocol, both
// beginning with its name and a colon (snmp, netstat), and lines of a name and a value
// (snmp6). Anything else is skipped.
func parseCounters(text string) map[string]uint64 {
	values := make(map[string]uint64)
	set := func(name, value string) {
		if n, err := strconv.ParseUint(value, 10, 64); err == nil { // a few are signed; none of those wanted is
			values[name] = n
		}
	}
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
			names = nil
		case !strings.HasSuffix(fields[0], ":"):
			set(fields[0], fields[1])
		case len(names) == 0 || names[0] != fields[0]:
			names = fields
		default:
			protocol := strings.TrimSuffix(names[0], ":")
			for i := 1; i < min(len(names), len(fields)); i++ {
				set(protocol+"."+names[i], fields[i])
			}
			names = nil
		}
	}
	return values
}

package attempt

import (
	"bytes"
	"slices"
	"strconv"
)

// wanted are the counters that tell something about one connection; the names
// are those of /proc/net/snmp, netstat and snmp6. Those of one protocol stand
// together.
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

// counters is one reading of those; index i belongs to wanted[i].
type counters [len(wanted)]uint64

// moved returns what changed between two readings. Counters only grow; one
// that shrank (it wrapped, or belongs to another namespace) is left out.
func moved(before, after *counters) map[string]uint64 {
	var delta map[string]uint64
	for i, name := range wanted {
		if after[i] > before[i] {
			if delta == nil {
				delta = make(map[string]uint64)
			}
			delta[name] = after[i] - before[i]
		}
	}
	return delta
}

// addSNMP fills in what text, /proc/net/snmp or /proc/net/netstat, states: a
// line of names and a line of values for each protocol, both beginning with its
// name and a colon. Anything else is skipped.
func (c *counters) addSNMP(text []byte) {
	var names []byte
	for line := range bytes.Lines(text) {
		if names == nil {
			names = line
			continue
		}
		protocol, keys, ok := bytes.Cut(names, []byte(": "))
		sameProtocol, values, alsoOK := bytes.Cut(line, []byte(": "))
		if !ok || !alsoOK || !bytes.Equal(protocol, sameProtocol) {
			names = line // out of step: this one may begin the next pair
			continue
		}
		c.addPair(protocol, keys, values)
		names = nil
	}
}

func (c *counters) addPair(protocol, keys, values []byte) {
	first, end := ofProtocol(protocol)
	if first == end {
		return
	}
	values = bytes.TrimRight(values, "\n")
	for key := range bytes.SplitSeq(bytes.TrimRight(keys, "\n"), []byte(" ")) {
		var value []byte
		value, values, _ = bytes.Cut(values, []byte(" "))
		for i := first; i < end; i++ {
			if name := wanted[i][len(protocol)+1:]; name == string(key) {
				c.set(i, value)
				break
			}
		}
	}
}

// ofProtocol is the range of wanted names that begin with protocol and a dot.
func ofProtocol(protocol []byte) (first, end int) {
	isIts := func(name string) bool {
		return len(name) > len(protocol) && name[len(protocol)] == '.' && name[:len(protocol)] == string(protocol)
	}
	first = slices.IndexFunc(wanted[:], isIts)
	if first < 0 {
		return 0, 0
	}
	end = first + 1
	for end < len(wanted) && isIts(wanted[end]) {
		end++
	}
	return first, end
}

// addSNMP6 fills in what /proc/net/snmp6 states: a name and a value a line.
func (c *counters) addSNMP6(text []byte) {
	for line := range bytes.Lines(text) {
		key, value, _ := bytes.Cut(line, []byte(" "))
		if i := slices.Index(wanted[:], string(key)); i >= 0 {
			c.set(i, bytes.TrimSpace(value))
		}
	}
}

// set takes a value that is a number. A few counters are signed; none of those
// wanted is.
func (c *counters) set(i int, value []byte) {
	if n, err := strconv.ParseUint(string(value), 10, 64); err == nil {
		c[i] = n
	}
}

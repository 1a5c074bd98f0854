package probe

import (
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// statNames are the counters of struct rtnl_link_stats64 (linux/if_link.h) in
// their order there, under iproute2's names.
var statNames = [...]string{
	"rx packets", "tx packets", "rx bytes", "tx bytes", "rx errors", "tx errors", "rx dropped", "tx dropped",
	"rx multicast", "tx collisions", "rx length_errors", "rx over_errors", "rx crc_errors", "rx frame_errors",
	"rx fifo_errors", "rx missed_errors", "tx aborted_errors", "tx carrier_errors", "tx fifo_errors",
	"tx heartbeat_errors", "tx window_errors", "rx compressed", "tx compressed", "rx nohandler", "rx otherhost",
}

// The positions of some counters in statNames.
const (
	rxErrors  = 4
	txErrors  = 5
	firstRare = 21 // from here on, 0 is left out
)

// stats64 reads IFLA_STATS64. A counter that this kernel does not have yet is 0.
func stats64(tb attributes) *fact.Stats64 {
	b := tb[unix.IFLA_STATS64]
	if len(b) == 0 {
		return nil
	}
	stats := &fact.Stats64{RX: fact.Counters{}, TX: fact.Counters{}}
	for i, name := range statNames {
		direction, name, _ := strings.Cut(name, " ")
		n := statAt(b, i)
		switch {
		case i >= firstRare && n == 0:
		case direction == "rx":
			stats.RX[name] = n
		default:
			stats.TX[name] = n
		}
	}
	if changes, ok := tb.uint(unix.IFLA_CARRIER_CHANGES); ok {
		stats.TX["carrier_changes"] = changes
	}
	return stats
}

// countsErrors reports whether IFLA_STATS64 holds an error received or sent.
func countsErrors(b []byte) bool { return statAt(b, rxErrors) != 0 || statAt(b, txErrors) != 0 }

func statAt(b []byte, i int) uint64 {
	if len(b) < 8*(i+1) {
		return 0
	}
	return binary.NativeEndian.Uint64(b[8*i:])
}

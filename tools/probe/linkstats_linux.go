package probe

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// The counters of struct rtnl_link_stats64 (linux/if_link.h) by their position.
var (
	rxCounters = map[string]int{
		"packets": 0, "bytes": 2, "errors": 4, "dropped": 6, "multicast": 8, "length_errors": 10, "over_errors": 11,
		"crc_errors": 12, "frame_errors": 13, "fifo_errors": 14, "missed_errors": 15,
	}
	rxRareCounters = map[string]int{"compressed": 21, "nohandler": 23, "otherhost": 24}
	txCounters     = map[string]int{
		"packets": 1, "bytes": 3, "errors": 5, "dropped": 7, "collisions": 9, "aborted_errors": 16,
		"carrier_errors": 17, "fifo_errors": 18, "heartbeat_errors": 19, "window_errors": 20,
	}
	txRareCounters = map[string]int{"compressed": 22}
)

// stats64 reads IFLA_STATS64. A counter that this kernel does not have yet is 0.
func stats64(tb attributes) *fact.Stats64 {
	b := tb.get(unix.IFLA_STATS64)
	if len(b) == 0 {
		return nil
	}
	stats := &fact.Stats64{
		RX: counters(b, rxCounters, rxRareCounters),
		TX: counters(b, txCounters, txRareCounters),
	}
	if changes, ok := tb.u32(unix.IFLA_CARRIER_CHANGES); ok {
		stats.TX["carrier_changes"] = uint64(changes)
	}
	return stats
}

// countsErrors reports whether IFLA_STATS64 holds an error received or sent.
func countsErrors(b []byte) bool {
	const rx, tx = 8 * 4, 8 * 5 // as in rxCounters and txCounters
	return len(b) >= tx+8 && (binary.NativeEndian.Uint64(b[rx:]) != 0 || binary.NativeEndian.Uint64(b[tx:]) != 0)
}

// counters reads those in always, and those in rare that are not 0.
func counters(b []byte, always, rare map[string]int) fact.Counters {
	out := make(fact.Counters, len(always)+len(rare)+1)
	at := func(i int) uint64 {
		if len(b) < 8*(i+1) {
			return 0
		}
		return binary.NativeEndian.Uint64(b[8*i:])
	}
	for name, i := range always {
		out[name] = at(i)
	}
	for name, i := range rare {
		if n := at(i); n != 0 {
			out[name] = n
		}
	}
	return out
}

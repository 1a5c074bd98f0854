package attempt

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// State asks the kernel how an established connection stands; nil where it
// cannot be known, as after the connection was closed.
func State(conn net.Conn) *fact.ConnState {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	var state *fact.ConnState
	_ = raw.Control(func(fd uintptr) { // fails only on a closed connection
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		state = &fact.ConnState{
			BytesSent: info.Bytes_sent, BytesAcked: info.Bytes_acked, BytesReceived: info.Bytes_received,
			Unacked: int(info.Unacked), NotSent: int(info.Notsent_bytes), Retransmits: int(info.Total_retrans),
			Duplicates: int(info.Dsack_dups), OutOfOrder: int(info.Rcv_ooopack), SendWindow: int(info.Snd_wnd),
			MSS: int(info.Snd_mss), PMTU: int(info.Pmtu), RTTMS: float64(info.Rtt) / 1000,
		}
	})
	return state
}

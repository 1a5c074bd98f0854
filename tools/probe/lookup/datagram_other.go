//go:build !linux

package lookup

import (
	"net"
	"syscall"

	"github.com/miekg/dns"
)

// reportICMP does nothing: no socket of a namespace gets here.
func reportICMP(string, syscall.RawConn) error { return nil }

// readDatagram waits for one datagram.
func readDatagram(conn net.Conn) ([]byte, error) {
	packet := make([]byte, dns.MaxMsgSize)
	n, err := conn.Read(packet)
	return packet[:n], err
}

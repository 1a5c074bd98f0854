//go:build !linux

package lookup

import (
	"context"
	"net"
	"syscall"

	"github.com/miekg/dns"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
)

// portWatch sees nothing.
type portWatch struct{}

func watchPort(context.Context, *nsexec.Handle, bool, net.Addr) *portWatch { return nil }
func (*portWatch) seen(func([]byte) bool) []arrival                        { return nil }
func (*portWatch) report([]arrival) *fact.DNSWire                          { return nil }
func (*portWatch) close(context.Context)                                   {}

// reportICMP does nothing: no socket of a namespace gets here.
func reportICMP(string, syscall.RawConn) error { return nil }

// refuseBroadcast does nothing: no socket of a namespace gets here.
func refuseBroadcast(syscall.RawConn) error { return nil }

// readDatagram waits for one datagram.
func readDatagram(conn net.Conn) ([]byte, error) {
	packet := make([]byte, dns.MaxMsgSize)
	n, err := conn.Read(packet)
	return packet[:n], err
}

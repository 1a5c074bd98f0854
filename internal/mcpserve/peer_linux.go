package mcpserve

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peerOf says who connected to a unix socket: the user that the process had when
// it did (unix(7), SO_PEERCRED).
func peerOf(c *net.UnixConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return "unknown"
	}
	var credentials *unix.Ucred
	control := raw.Control(func(fd uintptr) {
		credentials, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || control != nil {
		return "unknown"
	}
	return fmt.Sprintf("uid:%d", credentials.Uid)
}

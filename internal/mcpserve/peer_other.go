//go:build !linux

package mcpserve

import "net"

// peerOf says who connected, which only Linux is asked.
func peerOf(*net.UnixConn) string { return "unknown" }

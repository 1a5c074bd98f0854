package lookup

import (
	"context"
	"errors"
	"os"
	"syscall"

	"nsenter-mcp/nsexec"
)

// errnoNames are the errors that a socket gives about a destination. The names
// are what people search for; the numbers differ between systems.
var errnoNames = map[syscall.Errno]string{
	syscall.ECONNREFUSED: "ECONNREFUSED", syscall.EHOSTUNREACH: "EHOSTUNREACH", syscall.ENETUNREACH: "ENETUNREACH", syscall.EPERM: "EPERM",
	syscall.EACCES: "EACCES", syscall.EINVAL: "EINVAL", syscall.EADDRNOTAVAIL: "EADDRNOTAVAIL", syscall.EAFNOSUPPORT: "EAFNOSUPPORT",
	syscall.ENETDOWN: "ENETDOWN", syscall.ENOBUFS: "ENOBUFS", syscall.EMSGSIZE: "EMSGSIZE", syscall.ENOPROTOOPT: "ENOPROTOOPT",
	syscall.EPROTO: "EPROTO", syscall.ECONNRESET: "ECONNRESET", syscall.EPIPE: "EPIPE", syscall.ETIMEDOUT: "ETIMEDOUT",
}

// errnoName is "" for errors that say nothing about the destination.
func errnoName(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return ""
	}
	return errnoNames[errno]
}

// isOwnFault reports whether a connection failed for a reason that lies with
// this process: no privilege, no descriptor left, refused by policy.
func isOwnFault(err error) bool {
	var permission *nsexec.PermissionError
	if errors.As(err, &permission) {
		return true
	}
	return errnoName(err) == "" && !isTimeout(err) && !errors.Is(err, context.Canceled)
}

// isTimeout reports whether err is that of a deadline set on a connection, or
// of the context that a connection was made under.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// failedDial is the state after connecting a socket failed. A datagram socket
// is connected without any packet, so then the own host refused.
func failedDial(network string, err error) State {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return PortClosed
	case isTimeout(err), errors.Is(err, context.Canceled):
		return Silent
	case network == "udp" || isLocal(err):
		return Unsendable
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		// Also what a missing route gives, which UDP has met first.
		return Unreachable
	}
	return Unsendable
}

// isLocal: only the own host gives these.
func isLocal(err error) bool {
	for _, errno := range [...]syscall.Errno{syscall.EPERM, syscall.EACCES, syscall.EINVAL, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// failedIO is the state after a read or a write on a connected datagram socket
// failed, which reports the ICMP errors that came for earlier packets.
func failedIO(err error, sending bool) State {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return PortClosed
	case sending && isLocal(err):
		return Unsendable
	}
	return Unreachable
}

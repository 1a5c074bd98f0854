//go:build unix

package main

import (
	"io"
	"log/syslog"
)

// openSyslog connects to the system's logger, which is journald where that runs
// (/dev/log; systemd-journald.service(8)).
func openSyslog() (io.WriteCloser, error) {
	return syslog.New(syslog.LOG_AUTHPRIV|syslog.LOG_INFO, "nsenter-mcp")
}

//go:build unix

package forward

import (
	"os"
	"os/exec"
	"syscall"
)

// detach gives the process a session of its own: no terminal, and a group that is
// numbered as it is (setsid(2)).
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// signalGroup tells the process and all that it has started to end.
func signalGroup(p *os.Process, hard bool) {
	s := syscall.SIGTERM
	if hard {
		s = syscall.SIGKILL
	}
	_ = syscall.Kill(-p.Pid, s) // none is left where it fails
}

package forward

import (
	"os"
	"os/exec"
)

// detach does nothing: a process without a console has none to ask on.
func detach(*exec.Cmd) {}

// signalGroup ends the process, which is all that Windows can do to one.
func signalGroup(p *os.Process, _ bool) { _ = p.Kill() }

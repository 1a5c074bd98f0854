package forward

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

// process is one run of the command. Its client owns in and out.
type process struct {
	in   *outbox
	out  *intake
	said *ending // its standard error

	cmd    *exec.Cmd
	exited chan struct{} // closed once it has ended and was waited for
	err    error         // how it ended, valid then

	mu     sync.Mutex
	waited bool // from here on its PID may be another's
}

// launch starts argv. The process has no terminal and is the first of a group of
// its own: nothing that it starts can ask a person for a password, or is left
// behind. The caller ends it, whatever becomes of ctx.
func launch(ctx context.Context, argv []string) (_ *process, err error) {
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		_, _ = inRead.Close(), inWrite.Close()
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	p := &process{in: newOutbox(inWrite), out: newIntake(outRead), said: &ending{}, exited: make(chan struct{})}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), argv[0], argv[1:]...) //nolint:gosec // the command is the operator's, the name in it is checked
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = inRead, outWrite, p.said
	p.cmd.Env = environ()
	// A process that it has left behind may hold its standard error open.
	p.cmd.WaitDelay = time.Second
	detach(p.cmd)
	err = p.cmd.Start()
	_, _ = inRead.Close(), outWrite.Close()
	if err != nil {
		_, _ = inWrite.Close(), outRead.Close()
		return nil, err
	}
	go p.in.run()
	go p.wait()
	return p, nil
}

// environ is our own environment, in which ssh is told not to ask for anything in
// a window (ssh(1), SSH_ASKPASS_REQUIRE) unless somebody wants it to.
func environ() []string {
	env := os.Environ()
	if _, set := os.LookupEnv("SSH_ASKPASS_REQUIRE"); !set {
		env = append(env, "SSH_ASKPASS_REQUIRE=never")
	}
	return env
}

// wait collects the process when it has ended, and what it has left behind.
func (p *process) wait() {
	defer close(p.exited)
	if awaitExit(p.cmd.Process.Pid) {
		p.mu.Lock()
		signalGroup(p.cmd.Process, true)
		p.waited = true
		p.mu.Unlock()
	}
	p.err = p.cmd.Wait()
	p.mu.Lock()
	p.waited = true
	p.mu.Unlock()
	if errors.Is(p.err, exec.ErrWaitDelay) {
		p.err = nil // it has ended well itself
	}
}

// signal sends one to the whole group, as long as its number is its own.
func (p *process) signal(hard bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.waited {
		signalGroup(p.cmd.Process, hard)
	}
}

// end closes the process's input, gives it patience to end, and then makes it.
func (p *process) end(patience time.Duration) {
	defer func() { _ = p.out.from.Close() }()
	_ = p.in.Close()
	if p.within(patience) {
		return
	}
	p.signal(false)
	if p.within(patience) {
		return
	}
	p.signal(true)
	<-p.exited
}

// within reports whether the process ends in that time.
func (p *process) within(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-timer.C:
		return false
	}
}

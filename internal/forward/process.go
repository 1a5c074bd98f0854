package forward

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// process is one run of the command. Its client owns in and out.
type process struct {
	in   *inputWriter
	out  *outputReader
	said *tail // its standard error

	cmd    *exec.Cmd
	stop   context.CancelFunc // makes it end
	exited chan struct{}      // closed once it has ended and was waited for
	err    error              // how it ended, valid then
}

// launch starts argv. The process has no terminal and is the first of a group of
// its own: nothing that it starts can ask a person for a password, or is left
// behind. The caller ends it, whatever becomes of ctx; patience is for the process to
// end once it was told to, and for its standard error to end after it.
func launch(ctx context.Context, argv []string, patience time.Duration) (_ *process, err error) {
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		_, _ = inRead.Close(), inWrite.Close()
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	p := &process{in: &inputWriter{to: inWrite}, out: newOutputReader(outRead), said: &tail{}, exited: make(chan struct{})}
	ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	p.cmd = exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the command is the operator's, the name in it is checked
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = inRead, outWrite, p.said
	p.cmd.Env = environ()
	p.cmd.Cancel = func() error { signalGroup(p.cmd.Process, false); return nil }
	p.cmd.WaitDelay = patience
	detach(p.cmd)
	err = p.cmd.Start()
	_, _ = inRead.Close(), outWrite.Close()
	if err != nil {
		p.stop()
		_, _ = inWrite.Close(), outRead.Close()
		return nil, err
	}
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

// wait collects the process when it has ended, and ends what it has left behind in its
// group. The group's number is not given to others while the group has members.
func (p *process) wait() {
	defer close(p.exited)
	p.err = p.cmd.Wait()
	p.stop()
	signalGroup(p.cmd.Process, true)
	if errors.Is(p.err, exec.ErrWaitDelay) {
		p.err = nil // the process has ended well itself
	}
}

// end closes the process's input, gives it patience to end, and then makes it.
func (p *process) end(patience time.Duration) {
	defer func() { _ = p.out.from.Close() }()
	_ = p.in.Close()
	if !p.within(patience) {
		p.stop()
		<-p.exited
	}
}

// gone reports whether the process has ended or closed a pipe that a server needs.
func (p *process) gone() bool {
	return over(p.exited) || over(p.out.ended) || p.in.closed.Load()
}

// over reports whether a channel is closed.
func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
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

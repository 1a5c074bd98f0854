package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// startTimeout bounds the start of a container, which takes 10 ms. It is for
// machines that are very busy.
const startTimeout = 30 * time.Second

// processSpec is what a container's process needs to know.
type processSpec struct {
	Args, Env      []string
	Root, Hostname string
}

// setup is sent to the new process before anything else.
type setup struct {
	Root, Hostname string
}

// report is its answer: empty when it has become the container.
type report struct {
	Error string
}

// order is what it is told later.
type order struct {
	Exit int // end with this code
}

// process is the one process of a container. Two pipes lead to it: orders,
// whose end tells it that the lab is gone, and news, whose end tells the lab
// that the process is gone. So nobody polls, and nobody holds a thread to wait.
type process struct {
	pid    int
	cmd    *exec.Cmd
	orders *os.File

	done     chan struct{} // closed when the process is reaped
	exitCode int           // valid then: as a shell gives it, 128 plus a signal
	finished time.Time     // valid then
}

// startProcess starts this executable as a container ([Main]) in the namespace
// and waits until it is one.
func startProcess(netns *nsexec.Handle, spec processSpec) (*process, error) {
	orders, news, err := pipes()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = spec.Args
	cmd.Env = append(append([]string{}, spec.Env...), roleVar+"="+roleContainer)
	cmd.ExtraFiles = []*os.File{orders.theirs, news.theirs} // 3 and 4
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Setsid:     true, // no signal of our terminal
	}
	err = netns.Do(cmd.Start) // the network namespace is that of the thread that forks
	err = errors.Join(err, orders.theirs.Close(), news.theirs.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start process: %w", err), orders.ours.Close(), news.ours.Close())
	}
	p := &process{pid: cmd.Process.Pid, cmd: cmd, orders: orders.ours, done: make(chan struct{})}
	ready := make(chan error, 1)
	go p.follow(news.ours, ready)
	err = json.NewEncoder(p.orders).Encode(setup{Root: spec.Root, Hostname: spec.Hostname})
	if answer := <-ready; answer != nil {
		err = answer // it knows better
	}
	if err != nil {
		p.signalKill()
		<-p.done
		return nil, fmt.Errorf("start process: %w", err)
	}
	return p, nil
}

// follow passes the process's one report on and reaps it at its end.
func (p *process) follow(news *os.File, ready chan<- error) {
	var r report
	decoder := json.NewDecoder(news)
	err := news.SetReadDeadline(time.Now().Add(startTimeout))
	if err == nil {
		err = decoder.Decode(&r)
	}
	if err == nil {
		err = news.SetReadDeadline(time.Time{})
	}
	if err != nil {
		p.signalKill()
		err = fmt.Errorf("process did not become a container (is lab.Main the first call of main?): %w", err)
	} else if r.Error != "" {
		err = errors.New(r.Error)
	}
	ready <- err
	_ = decoder.Decode(&r) // returns when the process is gone: it says nothing more
	_ = news.Close()
	_ = p.cmd.Wait() // an exit code that is not 0 is no error here
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	p.exitCode = status.ExitStatus()
	if status.Signaled() {
		p.exitCode = 128 + int(status.Signal())
	}
	p.finished = time.Now()
	_ = p.orders.Close()
	close(p.done)
}

// exit makes the process end by itself and waits for it.
func (p *process) exit(code int) error {
	if err := json.NewEncoder(p.orders).Encode(order{Exit: code}); err != nil {
		return fmt.Errorf("order to exit: %w", err)
	}
	<-p.done
	return nil
}

// signalKill makes the process end; done says when it has.
func (p *process) signalKill() {
	_ = p.cmd.Process.Kill() // it may have ended already
}

// pipe is one pipe with the end for the new process apart.
type pipe struct{ ours, theirs *os.File }

func pipes() (orders, news pipe, err error) {
	if orders.theirs, orders.ours, err = os.Pipe(); err != nil {
		return orders, news, err
	}
	if news.ours, news.theirs, err = os.Pipe(); err != nil {
		return orders, news, errors.Join(err, orders.ours.Close(), orders.theirs.Close())
	}
	return orders, news, nil
}

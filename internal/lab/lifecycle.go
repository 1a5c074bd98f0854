package lab

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// reach starts the process, and ends it where the state is [Exited].
func (c *Container) reach(state State) error {
	if state == Created {
		return nil
	}
	if err := c.start(); err != nil {
		return err
	}
	if state == Exited {
		return c.Exit(c.spec.ExitCode)
	}
	return nil
}

// connect gives a container that is not of a pod its network.
func (c *Container) connect() error {
	if c.Pod != nil {
		return nil
	}
	netns, err := c.network()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.netns = netns
	return nil
}

func (c *Container) network() (*Netns, error) {
	if c.Join == nil {
		c.mu.Lock()
		ip := c.ip
		c.mu.Unlock()
		return c.Node.join(c.Node.reserve(c.spec.Style, ip, c.spec.IPv6, c.spec.MTU))
	}
	if netns := c.Join.Netns(); netns != nil {
		return netns, nil
	}
	return nil, fmt.Errorf("container %s has no network to share", c.Join.Name)
}

func (c *Container) start() error {
	p, err := startProcess(c.Netns().Handle, processSpec{
		Args: c.spec.Args, Env: c.spec.Env, Root: c.Root, Hostname: c.Hostname,
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		p.signalKill()
		<-p.done
		return errClosed
	}
	c.proc = p
	c.state = Status{State: Running, PID: p.pid, StartedAt: time.Now(), FinishedAt: c.state.FinishedAt, Restarts: c.state.Restarts}
	return nil
}

// Exit makes the container's process end by itself with a code, and returns
// when it is reaped. A container of a pod leaves the pod's network in place; one
// by itself loses its own, as with Docker.
func (c *Container) Exit(code int) error {
	c.mu.Lock()
	p := c.proc
	c.mu.Unlock()
	if p == nil {
		return errors.New("container was never started")
	}
	if err := p.exit(code); err != nil {
		return fmt.Errorf("container %s: %w", c.spec.Name, err)
	}
	return c.disconnect()
}

// Kill ends the container's process by SIGKILL, otherwise like
// [Container.Exit].
func (c *Container) Kill() error {
	c.mu.Lock()
	p := c.proc
	c.mu.Unlock()
	if p == nil {
		return nil
	}
	p.signalKill()
	<-p.done
	return c.disconnect()
}

// disconnect takes the network from a container that is not of a pod.
func (c *Container) disconnect() error {
	if c.Pod != nil {
		return nil
	}
	c.mu.Lock()
	netns := c.netns
	c.netns = nil
	if netns != nil && netns != c.Node.Netns {
		c.ip = netns.IP
	}
	c.mu.Unlock()
	if netns == nil || c.Join != nil {
		return nil
	}
	return c.Node.leave(netns)
}

// Restart ends the process and starts another, or starts the first. A container
// that has a network of its own gets a new one with the same address, as "docker
// restart" does; [Container.Netns] then returns the new one. Containers of pods
// are not restarted but replaced, see [Pod.Restart].
func (c *Container) Restart() error {
	if c.Pod != nil {
		return fmt.Errorf("container %s is of a pod", c.Name)
	}
	if err := c.Kill(); err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	c.mu.Lock()
	if c.proc != nil {
		c.state.Restarts++
		c.state.FinishedAt = c.proc.finished
	}
	c.mu.Unlock()
	return c.start()
}

// Restart ends a container of the pod, which stays in the engine's list, and
// makes its successor as the kubelet does: another container with the next
// attempt in its name. The successor takes its place in p.Containers.
func (p *Pod) Restart(c *Container) (*Container, error) {
	at := slices.Index(p.Containers, c)
	if at < 0 {
		return nil, errors.New("not a container of this pod, or replaced already")
	}
	if err := c.Kill(); err != nil {
		return nil, err
	}
	spec := c.spec
	spec.Restarts, spec.State = spec.Restarts+1, Running
	next, err := p.lab.addToPod(p, spec)
	if err != nil {
		return nil, err
	}
	p.Containers[at] = next
	p.replaced = append(p.replaced, c)
	return next, nil
}

// end tells the process to end at once, if there is one, and lets no other
// start. [Container.awaitEnd] waits for it.
func (c *Container) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.proc != nil {
		c.proc.signalKill()
	}
}

// awaitEnd returns when the process is reaped, after [Container.end].
func (c *Container) awaitEnd() {
	c.mu.Lock()
	p := c.proc
	c.mu.Unlock()
	if p != nil {
		<-p.done
	}
}

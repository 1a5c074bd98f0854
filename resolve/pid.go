package resolve

import (
	"context"
	"errors"

	"nsenter-mcp/nsexec"
)

// resolvePID opens the network of a process. Whose process it is is only told,
// not needed.
func (r *Resolver) resolvePID(ctx context.Context, q Query) (*Target, error) {
	t := &Target{Via: ViaPID, Node: r.Node(), Query: q}
	if err := r.openPID(t, *q.PID); err != nil {
		return nil, t.abort(err)
	}
	r.identify(ctx, t, q.Describe)
	if err := r.checkHost(t); err != nil {
		return nil, t.abort(err)
	}
	if !q.NoFiles {
		r.processFiles(t)
	}
	return t, nil
}

// openPID pins the process and its network.
func (r *Resolver) openPID(t *Target, pid int) *Error {
	p, err := r.cfg.Home.OpenProcess(r.procRoot(), pid)
	if err != nil {
		return enterError(pidLabel(pid), err)
	}
	return t.adoptProcess(p)
}

// adoptProcess makes p and its network the target's.
func (t *Target) adoptProcess(p *nsexec.Process) *Error {
	t.own(p)
	handle, err := p.Net()
	if err != nil {
		return enterError(processLabel(p), err)
	}
	t.own(handle)
	t.Process, t.Net = p, handle
	return nil
}

// abort closes a target that is not handed out and gives the error its steps.
func (t *Target) abort(err *Error) *Error {
	err.Steps = append(err.Steps, t.Steps...)
	if closeErr := t.Close(); closeErr != nil {
		err.Err = errors.Join(err.Err, closeErr)
	}
	return err
}

//go:build !linux

package nsexec

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"time"
)

// Home is this process's own network namespace; here there is none, and
// everything opened from it fails with [ErrUnsupported].
type Home struct{ self Handle }

// NewHome always succeeds, so that a server can start and say what it lacks
// when it is asked.
func NewHome() (*Home, error) { return &Home{}, nil }

// Self is a handle on which everything fails with [ErrUnsupported].
func (h *Home) Self() *Handle { return &h.self }

// RetiredThreads is 0.
func (h *Home) RetiredThreads() int64 { return 0 }

// Close does nothing.
func (h *Home) Close() error { return nil }

// OpenPath fails with [ErrUnsupported].
func (h *Home) OpenPath(_ context.Context, path string) (*Handle, error) {
	return nil, unsupported(path)
}

// OpenPathIn fails with [ErrUnsupported].
func (h *Home) OpenPathIn(_ context.Context, _, path string) (*Handle, error) {
	return nil, unsupported(path)
}

// OpenProcess fails with [ErrUnsupported].
func (h *Home) OpenProcess(_ string, pid int) (*Process, error) {
	return nil, unsupported(fmt.Sprintf("pid %d", pid))
}

// OpenFiles fails with [ErrUnsupported].
func (h *Home) OpenFiles(dir string) (*Files, error) { return nil, unsupported(dir) }

// Handle is a pinned network namespace; none can be opened here.
type Handle struct{}

// Identity is zero.
func (n *Handle) Identity() Identity { return Identity{} }

// Close does nothing.
func (n *Handle) Close() error { return nil }

// Do fails with [ErrUnsupported].
func (n *Handle) Do(func() error) error { return ErrUnsupported }

// Look fails with [ErrUnsupported].
func (n *Handle) Look(context.Context, func() error) error { return ErrUnsupported }

// WithFD fails with [ErrUnsupported].
func (n *Handle) WithFD(func(fd int) error) error { return ErrUnsupported }

// Control fails with [ErrUnsupported].
func (n *Handle) Control(_, _ string, _ syscall.RawConn) error { return ErrUnsupported }

// Dialer returns a dialer that fails with [ErrUnsupported].
func (n *Handle) Dialer() *net.Dialer { return &net.Dialer{Control: n.Control} }

// ListenConfig returns a configuration that fails with [ErrUnsupported].
func (n *Handle) ListenConfig() *net.ListenConfig { return &net.ListenConfig{Control: n.Control} }

// DialContext fails with [ErrUnsupported].
func (n *Handle) DialContext(_ context.Context, _, address string) (net.Conn, error) {
	return nil, unsupported("dial " + address)
}

// InterfaceIndex fails with [ErrUnsupported].
func (n *Handle) InterfaceIndex(string) (int, error) { return 0, ErrUnsupported }

// Addresses fails with [ErrUnsupported].
func (n *Handle) Addresses(context.Context, int) ([]Address, error) { return nil, ErrUnsupported }

// LeadsTo is always false.
func (n *Handle) LeadsTo(context.Context, int, *Handle) bool { return false }

// Process is a pinned process; none can be opened here.
type Process struct{}

// PID is 0.
func (p *Process) PID() int { return 0 }

// StartTicks is 0.
func (p *Process) StartTicks() uint64 { return 0 }

// Started is the zero time.
func (p *Process) Started() time.Time { return time.Time{} }

// Stat fails with [ErrUnsupported].
func (p *Process) Stat() (ProcStat, error) { return ProcStat{}, ErrUnsupported }

// Alive is false.
func (p *Process) Alive() bool { return false }

// Ended is false.
func (p *Process) Ended() bool { return false }

// ReadFile fails with [ErrUnsupported].
func (p *Process) ReadFile(_ context.Context, name string, _ int) ([]byte, error) {
	return nil, unsupported(name)
}

// Namespaces fails with [ErrUnsupported].
func (p *Process) Namespaces() (map[string]Identity, error) { return nil, ErrUnsupported }

// Hostname is "".
func (p *Process) Hostname() string { return "" }

// RootIs is always false.
func (p *Process) RootIs(string) bool { return false }

// Net fails with [ErrUnsupported].
func (p *Process) Net() (*Handle, error) { return nil, ErrUnsupported }

// Files fails with [ErrUnsupported].
func (p *Process) Files() (*Files, error) { return nil, ErrUnsupported }

// Close does nothing.
func (p *Process) Close() error { return nil }

// Files is the root directory of a container; none can be opened here.
type Files struct{}

// ReadFile fails with [ErrUnsupported].
func (f *Files) ReadFile(_ context.Context, name string, _ int64) (File, error) {
	return File{}, unsupported(name)
}

// ReadPlainFile fails with [ErrUnsupported].
func (f *Files) ReadPlainFile(_ context.Context, name string, _ int64) (File, error) {
	return File{}, unsupported(name)
}

// ReadDir fails with [ErrUnsupported].
func (f *Files) ReadDir(_ context.Context, name string, _ int, _ func(string) bool) ([]Entry, error) {
	return nil, unsupported(name)
}

// Close does nothing.
func (f *Files) Close() error { return nil }

func unsupported(what string) error { return fmt.Errorf("%s: %w", what, ErrUnsupported) }

//go:build !linux

package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"nsenter-mcp/nsexec"
)

var runDir, netnsDir = os.TempDir(), filepath.Join(os.TempDir(), "netns")

// Main does nothing: there are no containers to be.
func Main() {}

// Isolate fails with [nsexec.ErrUnsupported].
func Isolate() error { return nsexec.ErrUnsupported }

// TestMain ends the process with an error: what needs a lab cannot be tested
// here, and must not seem to pass.
func TestMain(interface{ Run() int }) {
	fmt.Fprintln(os.Stderr, "lab:", nsexec.ErrUnsupported)
	os.Exit(1)
}

// Cover fails with [nsexec.ErrUnsupported].
func Cover(_, _ string) error { return nsexec.ErrUnsupported }

func checkIsolated() error { return nsexec.ErrUnsupported }

func makeNetns(string) error { return nsexec.ErrUnsupported }

func unpin(string) error { return nil }

func (n *Netns) makeWire() error { return nsexec.ErrUnsupported }

func (n *Netns) unplug() error { return nil }

func (n *Node) makeNode() error { return nsexec.ErrUnsupported }

func (n *Node) addPeer(*Node) error { return nsexec.ErrUnsupported }

func (n *Node) plugBridge(*Netns, int) error { return nsexec.ErrUnsupported }

func (n *Node) plugCalico(*Netns, int) error { return nsexec.ErrUnsupported }

func (n *Node) setServices([]ServiceSpec) error { return nsexec.ErrUnsupported }

// Faults returns none.
func Faults() []Fault { return nil }

// SetSysctl fails with [nsexec.ErrUnsupported].
func (n *Netns) SetSysctl(name, value string) error {
	return fmt.Errorf("%s = %s: %w", name, value, nsexec.ErrUnsupported)
}

// Copied does nothing.
func (p *Pod) Copied(TB, netip.AddrPort, ...*Pod) {}

type processSpec struct {
	Args, Env      []string
	Root, Hostname string
}

type process struct {
	pid      int
	done     chan struct{}
	exitCode int
	finished time.Time
}

func startProcess(*nsexec.Handle, processSpec) (*process, error) { return nil, nsexec.ErrUnsupported }

func (p *process) exit(int) error { return nsexec.ErrUnsupported }

func (p *process) signalKill() {}

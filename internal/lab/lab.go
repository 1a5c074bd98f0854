package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"nsenter-mcp/nsexec"
)

// ErrNotIsolated says that the process still runs in the namespaces that it
// was started in: [Isolate] or [TestMain] was not called.
var ErrNotIsolated = errors.New("not inside a lab: call lab.Isolate or lab.TestMain first")

// TB is what the lab needs of [testing.TB].
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Lab is a set of nodes with pods on them. Several may live side by side in one
// process; they share nothing.
type Lab struct {
	Home *nsexec.Home // the process's own, empty namespace
	Node *Node        // the first node
	Dir  string       // files of the lab, below the private /run

	wire *Netns // the switch between the nodes

	topology sync.Mutex // held while nodes or services are added

	mu         sync.Mutex
	nodes      []*Node
	containers []*Container // in the order of their creation
	services   []ServiceSpec
	names      int // counter for default names
	netns      []*Netns
	servers    []io.Closer // engines and runtimes
	closed     bool
}

// New makes a lab with one node. The caller closes it.
//
// Errors: [ErrNotIsolated], [nsexec.ErrUnsupported], or what the kernel says.
func New() (*Lab, error) {
	if err := checkIsolated(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(runDir, "lab-")
	if err != nil {
		return nil, fmt.Errorf("make lab: %w", err)
	}
	l := &Lab{Dir: dir}
	if err := l.setUp(); err != nil {
		return nil, errors.Join(fmt.Errorf("make lab: %w", err), l.Close())
	}
	return l, nil
}

// Start is [New] for a test: it fails the test on an error, and closes the lab
// at its end.
func Start(tb TB) *Lab {
	tb.Helper()
	l, err := New()
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Errorf("close lab: %v", err)
		}
	})
	return l
}

func (l *Lab) setUp() (err error) {
	if l.Home, err = nsexec.NewHome(); err != nil {
		return err
	}
	if l.wire, err = l.newNetns(); err != nil {
		return err
	}
	if err := l.wire.makeWire(); err != nil {
		return fmt.Errorf("switch of the nodes: %w", err)
	}
	l.Node, err = l.AddNode()
	return err
}

// Close ends all processes, servers and engines of the lab and removes its
// namespaces. It returns when every process is reaped. Closing twice is fine.
func (l *Lab) Close() error {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if closed {
		return nil
	}
	// Nobody adds to the lists any more.
	var errs []error
	for _, s := range l.servers {
		errs = append(errs, s.Close())
	}
	for _, c := range l.containers { // all are told before one is waited for
		c.end()
	}
	for _, c := range l.containers {
		c.awaitEnd()
	}
	for _, n := range slices.Backward(l.netns) {
		errs = append(errs, n.release())
	}
	if l.Home != nil {
		errs = append(errs, l.Home.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(l.Dir))...)
}

// Nodes returns the nodes in the order of their creation.
func (l *Lab) Nodes() []*Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.nodes)
}

var errClosed = errors.New("lab is closed")

// nextName returns a name nobody in the lab has.
func (l *Lab) nextName(kind string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names++
	return fmt.Sprintf("%s-%d", kind, l.names)
}

// newNetns makes a namespace with lo up and pins it below /run/netns, named as
// CNI names them.
func (l *Lab) newNetns() (*Netns, error) {
	path := filepath.Join(netnsDir, "cni-"+randomUUID())
	if err := makeNetns(path); err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	handle, err := l.Home.OpenPath(context.Background(), path)
	if err != nil {
		return nil, errors.Join(err, unpin(path))
	}
	n := &Netns{Handle: handle, Path: path, lab: l, Style: Plain}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.Join(errClosed, n.release())
	}
	l.netns = append(l.netns, n)
	return n, nil
}

// dropNetns ends a namespace before the lab does. The veth is deleted first and
// by name: the kernel deletes what is left in a namespace some time later, and
// its names and addresses would be in the way of a successor.
func (l *Lab) dropNetns(n *Netns) error {
	l.mu.Lock()
	l.netns = slices.DeleteFunc(l.netns, func(o *Netns) bool { return o == n })
	l.mu.Unlock()
	return errors.Join(n.unplug(), n.release())
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// randomUUID returns a version 4 UUID (RFC 9562, section 5.4).
func randomUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// ignoreClosed forgives what a test closed by itself.
func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

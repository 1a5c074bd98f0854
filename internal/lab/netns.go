package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"nsenter-mcp/nsexec"
)

// Netns is a network namespace of the lab and how it is joined to its node.
type Netns struct {
	Handle *nsexec.Handle // owned by the lab, which closes it
	Path   string         // its pin, "/run/netns/cni-..."
	Node   *Node

	Style    Style
	IP, IP6  netip.Addr // of eth0; not valid where there is none
	Bits     int        // length of its prefix
	Bits6    int        // of the prefix of IP6
	HostLink string     // the node's end of eth0's veth; "" for none
	Tunnel   string     // link kind of tunl0: "ipip", "tun" or "ifb"; "" for none

	lab  *Lab
	host byte // the last byte of IP that the node reserved; 0 for none

	mu      sync.Mutex
	closers []io.Closer // servers, which keep the namespace alive
	closed  bool
}

// Listen listens inside the namespace, on a literal address. It ends
// with the pod or the lab.
func (n *Netns) Listen(network, address string) (net.Listener, error) {
	ln, err := n.Handle.ListenConfig().Listen(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	return ln, n.own(ln)
}

// ListenPacket is [Netns.Listen] for datagrams.
func (n *Netns) ListenPacket(network, address string) (net.PacketConn, error) {
	pc, err := n.Handle.ListenConfig().ListenPacket(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	return pc, n.own(pc)
}

// Serve serves HTTP inside the namespace until the pod or the lab ends. It
// returns the address it listens on, with the pod's own in place of an
// unspecified one.
func (n *Netns) Serve(address string, handler http.Handler) (netip.AddrPort, error) {
	return n.serve(address, handler, (*http.Server).Serve)
}

func (n *Netns) serve(address string, handler http.Handler, serve func(*http.Server, net.Listener) error) (netip.AddrPort, error) {
	ln, err := n.Listen("tcp", address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	if err := n.own(server); err != nil {
		return netip.AddrPort{}, err
	}
	go func() { _ = serve(server, ln) }() // ends with the listener, and has nothing else to report
	return n.at(ln), nil
}

// at is the address of a listener, with the pod's own in place of an
// unspecified one.
func (n *Netns) at(ln net.Listener) netip.AddrPort {
	at := ln.Addr().(*net.TCPAddr).AddrPort()
	if at.Addr().IsUnspecified() && n.IP.IsValid() {
		at = netip.AddrPortFrom(n.IP, at.Port())
	}
	return at
}

// HTTPClient returns a client whose connections start inside the namespace. URLs
// must hold literal addresses.
func (n *Netns) HTTPClient() *http.Client {
	return &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{DialContext: n.Handle.DialContext, DisableKeepAlives: true},
	}
}

// Start starts a program of this machine in the namespace, like nsenter -n:
// only the network is another. Ending it is up to the caller.
func (n *Netns) Start(cmd *exec.Cmd) error {
	// A child has the namespaces of the thread that forked it (clone(2)).
	return n.Handle.Do(cmd.Start)
}

// Output runs a program of this machine in the namespace to its end, within 30
// seconds, and returns what it printed. An error carries what it wrote to
// standard error.
func (n *Netns) Output(name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := n.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmd, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// own makes c end with the namespace.
func (n *Netns) own(c io.Closer) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errors.Join(errClosed, c.Close())
	}
	n.closers = append(n.closers, c)
	return nil
}

// release removes what keeps the namespace alive on the lab's side.
func (n *Netns) release() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	var errs []error
	for _, c := range slices.Backward(n.closers) { // a server before its listener
		errs = append(errs, ignoreClosed(c.Close()))
	}
	return errors.Join(append(errs, unpin(n.Path), n.Handle.Close())...)
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// RuntimeKind is the container runtime that a [Runtime] answers like: what is
// in the verbose part of its answers is of no common shape.
type RuntimeKind string

// The kinds.
const (
	Containerd16 RuntimeKind = "containerd 1.6"
	Containerd17 RuntimeKind = "containerd 1.7"
	Containerd2  RuntimeKind = "containerd 2"
	// CRIO keeps a sandbox without a process, its default since 1.23
	// (drop_infra_ctr): it stays ready when the pause process of the lab is killed.
	CRIO       RuntimeKind = "CRI-O"
	CRIOPause  RuntimeKind = "CRI-O with pause"
	CRIDockerd RuntimeKind = "cri-dockerd"
	// Kata is containerd 1.7 with a handler that runs pods in virtual machines. The
	// one process that it tells of, for the sandbox and for each container, is that
	// of the machine's monitor, which is in the pod's network (Kata Containers,
	// src/runtime/pkg/containerd-shim-v2/service.go: hpid). Here it is the sandbox's.
	Kata RuntimeKind = "kata"
	// KataRust is the other implementation of the same, which tells of its shim
	// instead, a process in the node's network
	// (src/runtime-rs/crates/runtimes/virt_container/src/container_manager/manager.rs).
	KataRust RuntimeKind = "kata in Rust"
	// CRIOKata is Kata below CRI-O, which keeps the sandbox's process for it.
	CRIOKata RuntimeKind = "CRI-O with kata"
)

// RuntimeKinds are all of them.
var RuntimeKinds = [...]RuntimeKind{Containerd16, Containerd17, Containerd2, CRIO, CRIOPause, CRIDockerd, Kata, KataRust, CRIOKata}

// Runtime serves a part of the Container Runtime Interface on a unix socket:
// version, and the lists and the details of a node's sandboxes and containers.
// The processes are real; there is no runtime behind it. Containers without a
// pod are not shown, as CRI has none.
type Runtime struct {
	Socket string // path of the unix socket
	Kind   RuntimeKind

	node   *Node
	shim   *Container // of KataRust alone
	server *grpc.Server
	stop   chan struct{} // closed: ends requests that hang
	once   sync.Once

	delay atomic.Int64 // time.Duration, before each answer
	hang  atomic.Bool

	mu        sync.Mutex
	requests  map[string]int
	synthetic []record
	alter     Alteration
}

// Alter makes every answer pass alter first; nil leaves them as they are.
func (r *Runtime) Alter(alter Alteration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alter = alter
}

// Codes of a [Refusal], those of gRPC.
const (
	CodeUnknown       = uint32(codes.Unknown)
	CodeNotFound      = uint32(codes.NotFound)
	CodeUnimplemented = uint32(codes.Unimplemented)
	CodeUnavailable   = uint32(codes.Unavailable)
)

// Refusal is how a runtime refuses a call.
func Refusal(code uint32, text string) error { return status.Error(codes.Code(code), text) }

// StartRuntime starts a runtime that shows the node's pods. The lab closes it.
func StartRuntime(n *Node, kind RuntimeKind) (*Runtime, error) {
	return startRuntimeAt(n, kind, filepath.Join(n.lab.Dir, n.lab.nextName("cri")+".sock"))
}

// Restart ends the runtime, connections included, and starts another one of the
// same kind on the same socket, which knows nothing of synthetic pods.
func (r *Runtime) Restart() (*Runtime, error) {
	if err := r.Close(); err != nil {
		return nil, err
	}
	return startRuntimeAt(r.node, r.Kind, r.Socket)
}

func startRuntimeAt(n *Node, kind RuntimeKind, socket string) (*Runtime, error) {
	ln, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("runtime of %s: %w", n.Name, err)
	}
	r := &Runtime{Socket: socket, Kind: kind, node: n, stop: make(chan struct{}), requests: map[string]int{}}
	if kind == KataRust {
		if r.shim, err = n.lab.AddContainer(ContainerSpec{Node: n, Style: HostNetwork}); err != nil {
			return nil, errors.Join(err, ln.Close())
		}
	}
	r.server = grpc.NewServer(grpc.UnaryInterceptor(r.intercept), grpc.MaxSendMsgSize(64<<20))
	runtimeapi.RegisterRuntimeServiceServer(r.server, &runtimeService{Runtime: r})
	if err := n.lab.adoptServer(r); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	go func() { _ = r.server.Serve(ln) }() // ends with Close, and has nothing else to report
	return r, nil
}

// Endpoint is the runtime's address as CONTAINER_RUNTIME_ENDPOINT takes it.
func (r *Runtime) Endpoint() string { return "unix://" + r.Socket }

// SetDelay makes every answer come later by d.
func (r *Runtime) SetDelay(d time.Duration) { r.delay.Store(int64(d)) }

// SetHang makes the runtime accept requests and answer none, until it is set
// back, the client gives up or the runtime closes. Requests that hang already
// are not answered any more.
func (r *Runtime) SetHang(hang bool) { r.hang.Store(hang) }

// VMM is the process that the runtime names for p and all its containers, 0 for a
// runtime that makes no virtual machines.
func (r *Runtime) VMM(p *Pod) int { return r.vmm(p.Sandbox) }

func (r *Runtime) vmm(sandbox *Container) int {
	switch r.Kind {
	case Kata, CRIOKata:
		return sandbox.PID()
	case KataRust:
		return r.shim.PID()
	}
	return 0
}

// Requests counts what was asked since the last call of ResetRequests, by the
// names of CRI: "ListPodSandbox".
func (r *Runtime) Requests() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.requests)
}

// ResetRequests sets all counters to zero.
func (r *Runtime) ResetRequests() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.requests)
}

// AddSynthetic is [Engine.AddSynthetic] for a runtime.
func (r *Runtime) AddSynthetic(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range n {
		r.synthetic = append(r.synthetic, syntheticPod(len(r.synthetic)/2)...)
	}
}

// Close ends the runtime and all requests under way. Closing twice is fine.
func (r *Runtime) Close() error {
	r.once.Do(func() {
		close(r.stop)
		r.server.Stop()
	})
	return nil
}

func (r *Runtime) intercept(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	call := path.Base(info.FullMethod)
	r.mu.Lock()
	r.requests[call]++
	alter := r.alter
	r.mu.Unlock()
	var pause <-chan time.Time // never, while it hangs
	if !r.hang.Load() {
		pause = time.After(time.Duration(r.delay.Load()))
	}
	select {
	case <-pause:
		answer, err := next(ctx, request)
		if alter != nil && err == nil {
			err = alter(call, answer)
		}
		return answer, err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-r.stop:
		return nil, status.Error(codes.Unavailable, "closing")
	}
}

// records are the containers of all pods.
func (r *Runtime) records() []record {
	on := r.node.lab.containersOn(r.node)
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]record, 0, len(on)+len(r.synthetic))
	for _, c := range on {
		if c.Pod != nil {
			all = append(all, c.record())
		}
	}
	return append(all, r.synthetic...)
}

// runtimeService is the part of CRI that a Runtime has; the rest of it answers
// that it is not implemented.
type runtimeService struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	*Runtime
}

func (s *runtimeService) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	v := &runtimeapi.VersionResponse{Version: "0.1.0", RuntimeName: "containerd", RuntimeApiVersion: "v1"}
	switch s.Kind {
	case Containerd16:
		v.RuntimeVersion = "1.6.20~ds1"
	case Containerd17, Kata, KataRust:
		v.RuntimeVersion = "v1.7.28"
	case Containerd2:
		v.RuntimeVersion = "v2.1.4"
	case CRIO, CRIOPause, CRIOKata:
		v.RuntimeName, v.RuntimeVersion = "cri-o", "1.33.0"
	case CRIDockerd:
		v.RuntimeName, v.RuntimeVersion = "docker", engineVersion
	}
	return v, nil
}

func (s *runtimeService) ListPodSandbox(_ context.Context, r *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	f := r.GetFilter()
	answer := &runtimeapi.ListPodSandboxResponse{}
	for _, c := range s.records() {
		if c.Join == nil && fits(f.GetId(), c.ID) && c.has(s.Kind, f.GetLabelSelector()) {
			answer.Items = append(answer.Items, c.podSandbox(s.Kind))
		}
	}
	return answer, nil
}

func (s *runtimeService) ListContainers(_ context.Context, r *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	f := r.GetFilter()
	answer := &runtimeapi.ListContainersResponse{}
	for _, c := range s.records() {
		if c.Join != nil && fits(f.GetId(), c.ID) && fits(f.GetPodSandboxId(), c.Join.ID) && c.has(s.Kind, f.GetLabelSelector()) {
			answer.Containers = append(answer.Containers, c.criContainer(s.Kind))
		}
	}
	return answer, nil
}

func fits(wanted, id string) bool { return wanted == "" || wanted == id }

func (s *runtimeService) PodSandboxStatus(_ context.Context, r *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	c, err := s.find(r.GetPodSandboxId(), func(c record) bool { return c.Join == nil })
	if err != nil {
		return nil, err
	}
	return c.podSandboxStatus(s.Kind, r.GetVerbose())
}

func (s *runtimeService) ContainerStatus(_ context.Context, r *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	c, err := s.find(r.GetContainerId(), func(c record) bool { return c.Join != nil })
	if err != nil {
		return nil, err
	}
	return c.containerStatus(s.Kind, r.GetVerbose())
}

func (s *runtimeService) find(id string, is func(record) bool) (record, error) {
	for _, c := range s.records() {
		if c.ID == id && is(c) {
			sandbox := c.Container
			if c.Join != nil {
				sandbox = c.Join
			}
			c.vmm = s.vmm(sandbox)
			return c, nil
		}
	}
	if s.Kind == CRIDockerd {
		return record{}, status.Errorf(codes.Unknown, "Error response from daemon: No such container: %s", id)
	}
	return record{}, status.Errorf(codes.NotFound, "an error occurred when try to find %q: not found", id)
}

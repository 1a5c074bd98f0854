package resolve

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"nsenter-mcp/nsexec"
)

// Kind says in one word why nothing was resolved. The words are part of the
// interface: they never change.
type Kind string

// The kinds of [Error].
const (
	KindBadQuery          Kind = "bad_query"           // the query itself is wrong
	KindNotFound          Kind = "not_found"           // every source answered, none knows it
	KindAmbiguous         Kind = "ambiguous"           // several fit; Candidates says which
	KindNotRunning        Kind = "not_running"         // known, but has no process and no network now
	KindNoSandbox         Kind = "no_sandbox"          // a pod without a network namespace so far
	KindOtherNode         Kind = "on_other_node"       // lives on Node
	KindService           Kind = "ip_is_service"       // a virtual address; Service says whose
	KindHostNetworkDenied Kind = "host_network_denied" // the host's network, which the operator keeps closed
	KindPIDZero           Kind = "pid_zero"
	KindPIDNegative       Kind = "pid_negative"
	KindPIDTooLarge       Kind = "pid_too_large"
	KindNoProcess         Kind = "no_such_process"
	KindKernelThread      Kind = "kernel_thread"
	KindZombie            Kind = "zombie"
	KindGone              Kind = "target_gone"       // it ended or changed between being found and being entered
	KindNotNetns          Kind = "not_a_netns"       // the path is no network namespace
	KindBusy              Kind = "busy"              // no file can be opened any more
	KindPermission        Kind = "permission_denied" // Err holds the [nsexec.PermissionError] that names the capability
	KindKernelTooOld      Kind = "kernel_too_old"
	KindUnsupported       Kind = "unsupported_platform"
	KindSource            Kind = "source_unavailable" // nobody who could know it has answered
	KindTimeout           Kind = "timeout"            // the caller's deadline passed
	KindCanceled          Kind = "canceled"           // the caller gave up
	KindInternal          Kind = "internal"
)

// Error is the one error type of this package.
type Error struct {
	Kind Kind
	// Message says what is wrong, in one line; names in it are quoted and short.
	Message string
	// Hint says what to do next, in whole sentences.
	Hint string
	// Candidates are the at most 10 that fit equally well ([KindAmbiguous]).
	Candidates []Candidate
	// NearMisses are names that exist and look like the one asked for.
	NearMisses []string
	// Steps is what was tried.
	Steps []Step
	// Node is where it lives ([KindOtherNode]).
	Node string
	// NoCluster: no API is configured that would know the pods of other nodes.
	NoCluster bool
	// Service is whose address it is ([KindService]).
	Service *Service
	// State and ExitCode are those of a container that does not run.
	State    State
	ExitCode *int
	// Said is what the runtime says of that container, the API of that pod, or a
	// credential plugin of why it failed. It may quote anybody, so it is no part of
	// Message.
	Said string
	// Err is the cause, where there is one.
	Err error
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// Candidate is one of several things that a query fits.
type Candidate struct {
	Source    string `json:"source,omitempty"`
	Pod       string `json:"pod,omitempty"`
	UID       string `json:"uid,omitempty"` // of a pod whose name nobody knows
	Namespace string `json:"namespace,omitempty"`
	Container string `json:"container,omitempty"`
	ID        string `json:"id,omitempty"`
	State     State  `json:"state,omitempty"`
	Node      string `json:"node,omitempty"`
	PID       int    `json:"pid,omitempty"`
	Netns     string `json:"netns,omitempty"` // "net:[inode]" or a path, for netns and ip
}

func badQuery(message, hint string) *Error {
	return &Error{Kind: KindBadQuery, Message: message, Hint: hint}
}

// ended explains that the caller's context is over.
func ended(ctx context.Context, steps []Step) *Error {
	e := &Error{
		Kind:    KindTimeout,
		Message: "the time for this call is over before the target was found",
		Hint:    "Give more timeout_ms, or name the target by pid or netns, which asks nobody.",
		Steps:   steps,
		Err:     context.Cause(ctx),
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		e.Kind, e.Message, e.Hint = KindCanceled, "the call was canceled", ""
	}
	return e
}

// enterError explains a failure of nsexec. what is the thing that was opened:
// "pid 12", "netns blue".
func enterError(what string, err error) *Error {
	e := &Error{Kind: KindInternal, Message: fmt.Sprintf("%s: %v", what, err), Err: err}
	var permission *nsexec.PermissionError
	var tooOld *nsexec.KernelTooOldError
	switch {
	case errors.As(err, &permission):
		e.Kind = KindPermission
		e.Message = fmt.Sprintf("%s: %v", what, permission)
		e.Hint = "Run the server as root or with these capabilities; nsenter-mcp doctor says what is missing. " +
			"If the server has them, a security module (AppArmor, SELinux, Yama) or another user namespace is in the way. " +
			"Containers of rootless podman are entered by 'podman unshare nsenter-mcp', as their user."
	case nsexec.OutOfFiles(err):
		e.Kind = KindBusy
		e.Hint = nsexec.OutOfFilesHint
	case errors.As(err, &tooOld):
		e.Kind = KindKernelTooOld
		e.Hint = "Run the server on a node with a newer kernel."
	case errors.Is(err, nsexec.ErrUnsupported):
		e.Kind = KindUnsupported
		e.Message = what + ": this operating system has no network namespaces"
		e.Hint = "Run nsenter-mcp on the Linux node, for instance over ssh."
	case errors.Is(err, nsexec.ErrNoProcess):
		e.Kind = KindNoProcess
		e.Message = what + ": no such process"
		e.Hint = "The process has ended, or the number is of another PID namespace, such as the container's. Name the pod or container instead."
	case errors.Is(err, nsexec.ErrZombie):
		e.Kind = KindZombie
		e.Message = what + ": the process has ended and only waits to be reaped; it has no network any more"
		e.Hint = "Name the pod or container instead; the sandbox may still hold the network."
	case errors.Is(err, nsexec.ErrKernelThread):
		e.Kind = KindKernelThread
		e.Message = what + ": this is a thread of the kernel, not a process with a network of its own"
		e.Hint = "Kernel threads live in the host's network: use netns host."
	case errors.Is(err, nsexec.ErrNotNetns):
		e.Kind = KindNotNetns
		e.Hint = "Give the path of a network namespace, such as /run/netns/NAME or /proc/PID/ns/net. If the path exists on the node, " +
			"the server sees another mount namespace: mount the directory with propagation (rslave), or name a pid."
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENAMETOOLONG):
		e.Kind = KindNotNetns
		e.Hint = "Give the path of a network namespace, such as /run/netns/NAME or /proc/PID/ns/net."
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nsexec.ErrReadersBusy):
		e.Kind = KindTimeout
		e.Hint = "The path's file system (FUSE, NFS) does not answer; name the target by pid or container instead."
	case errors.Is(err, nsexec.ErrGone):
		e.Kind = KindGone
		e.Message = what + ": it ended while it was being entered"
		e.Hint = "Call again; resolve_pod_pid with pod or container shows the state."
	}
	return e
}

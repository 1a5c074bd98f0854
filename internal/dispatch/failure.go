package dispatch

import (
	"context"
	"errors"
	"fmt"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
)

// The error codes that do not come from a room below.
const (
	CodeInvalidArguments = "invalid_arguments"
	CodeUnknownArgument  = "unknown_argument"
	CodeUnknownTool      = "unknown_tool"
	CodeToolDisabled     = "tool_disabled"
	CodeTargetChanged    = "target_changed"
	CodeTargetGone       = "target_gone"
	CodeBusy             = "busy"
	CodeTimeout          = "timeout"
	CodeCanceled         = "canceled"
	CodePermission       = "permission_denied"
	CodeKernelTooOld     = "kernel_too_old"
	CodeUnsupported      = "unsupported_platform"
	CodeTooLarge         = "result_too_large"
	CodeInternal         = "internal"
)

// The stages of a call, in the order in which they happen.
const (
	StageArguments = "arguments"
	StagePolicy    = "policy"
	stageQueue     = "queue"
	StageResolve   = "resolve"
	StageForward   = "forward"
	stageEnter     = "enter"
	StageProbe     = "probe"
)

// publicError is the one place where errors become codes. stage is where the
// call stood when err came up.
func publicError(err error, stage string) *Error {
	var done *Error
	if errors.As(err, &done) {
		return done
	}
	var away *NodeError
	if errors.As(err, &away) {
		return away.public()
	}
	var resolving *resolve.Error
	if errors.As(err, &resolving) {
		return fromResolve(resolving, stage)
	}
	if e := fromContext(err, stage); e != nil {
		return e
	}
	if e := fromNsexec(err, stage); e != nil {
		return e
	}
	return &Error{
		Code: CodeInternal, Stage: stage, Message: err.Error(),
		Hint: "this is a fault of the server; its log has more",
	}
}

// fromResolve: package resolve words its errors for a person, and its kinds
// are codes already.
func fromResolve(err *resolve.Error, stage string) *Error {
	var said *UntrustedText
	if err.Said != "" {
		said = &UntrustedText{Message: words.Escape(err.Said)}
	}
	return &Error{
		Code: string(err.Kind), Stage: stage, Message: err.Message, Hint: err.Hint,
		Details: ErrorDetails{
			Steps: telling(err.Steps), Candidates: err.Candidates, NearMisses: err.NearMisses, Node: err.Node, Service: err.Service,
			State: err.State, ExitCode: err.ExitCode, Untrusted: said,
		},
	}
}

// nextOf proposes the pods behind a service whose address was given.
func nextOf(err error) []Next {
	next := []Next{}
	var resolving *resolve.Error
	if !errors.As(err, &resolving) || resolving.Service == nil {
		return next
	}
	for _, e := range resolving.Service.Endpoints {
		if e.Pod != "" && len(next) < maxNext {
			next = append(next, Propose(resolveTarget, TargetArgs{Pod: e.Pod, Namespace: e.Namespace}, "a pod behind the service"+onNode(e.Node)))
		}
	}
	return next
}

func onNode(node string) string {
	if node == "" {
		return ""
	}
	return ", on node " + words.Printable(node)
}

func fromContext(err error, stage string) *Error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{
			Code: CodeTimeout, Stage: stage, Message: "the call's time is up",
			Hint: fmt.Sprintf("call again with a larger timeout_ms (at most %d)", MaxDeadline.Milliseconds()),
		}
	case errors.Is(err, context.Canceled):
		return &Error{Code: CodeCanceled, Stage: stage, Message: "the call was canceled"}
	}
	return nil
}

// fromNsexec words what went wrong with a target after it was resolved.
func fromNsexec(err error, stage string) *Error {
	var permission *nsexec.PermissionError
	var kernel *nsexec.KernelTooOldError
	switch {
	case nsexec.OutOfFiles(err):
		return &Error{Code: CodeBusy, Stage: stage, Message: err.Error(), Hint: nsexec.OutOfFilesHint}
	case errors.As(err, &permission):
		return &Error{
			Code: CodePermission, Stage: stage, Message: err.Error(),
			Hint: "run the server as root or with the capability named; nsenter-mcp doctor shows what is missing",
		}
	case errors.As(err, &kernel):
		return &Error{
			Code: CodeKernelTooOld, Stage: stage, Message: err.Error(),
			Hint: "run the server on a node with a newer kernel",
		}
	case errors.Is(err, nsexec.ErrUnsupported):
		return &Error{
			Code: CodeUnsupported, Stage: stage, Message: err.Error(),
			Hint: "run the server on the Linux node, for example through ssh",
		}
	case errors.Is(err, nsexec.ErrGone), errors.Is(err, nsexec.ErrZombie), errors.Is(err, nsexec.ErrNoProcess):
		return &Error{
			Code: CodeTargetGone, Stage: stage, Message: "the target ended during the call",
			Hint: "call again: the name is resolved anew",
		}
	}
	return nil
}

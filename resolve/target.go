package resolve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/nsexec"
)

// Via says whose network namespace was entered.
type Via string

// The ways in.
const (
	ViaSandbox   Via = "sandbox"   // of the pod's sandbox (pause)
	ViaContainer Via = "container" // of a container
	ViaNetns     Via = "netns"     // one that was named itself
	ViaPID       Via = "pid"       // of a process that was named
)

// Step is one thing that was tried on the way to a target.
type Step struct {
	Source  string  `json:"source,omitempty"` // who was asked; "" for this machine's kernel
	Action  string  `json:"action"`
	Outcome string  `json:"outcome"` // "ok", "none", "failed", "skipped"
	Reason  string  `json:"reason,omitempty"`
	MS      float64 `json:"ms"`

	of    membership
	place int // among the steps of a round
}

// The outcomes of a step.
const (
	outcomeOK      = "ok"
	outcomeNone    = "none"
	outcomeFailed  = "failed"
	outcomeSkipped = "skipped"
)

// Note is something worth knowing about an answer that is right all the same.
type Note struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Target is an open network namespace and what belongs to it. Whoever got it
// closes it; until then the namespace stays alive, even if its pod is deleted.
// Its fields are not changed after it was returned.
type Target struct {
	Net *nsexec.Handle
	// Process is the process that was entered, nil where a path was and no
	// process is known.
	Process *nsexec.Process
	// Files is the root directory that the target's applications see, nil if there
	// is none; read through [Target.ReadFile], which knows more.
	Files *nsexec.Files
	// FilesFrom says in words whose files [Target.ReadFile] reads; "" for none.
	FilesFrom string
	// App is the process whose root Files is: that of the application, not of
	// the sandbox. It may be the same as Process, and nil.
	App *nsexec.Process
	// Workload is zero where nobody knows whose network this is.
	Workload Workload
	// Query is what was asked for, in its plain form.
	Query Query
	// Container is the name of the container that was asked for, "" for a pod or
	// a network as such.
	Container string
	Via       Via
	// NetnsPath is the path that was opened, "" when a process was entered.
	NetnsPath string
	// Attached: the address that was asked for is on an interface that leads to this
	// node; false where none was asked for.
	Attached bool
	// HostNetwork: this is the network of the host itself.
	HostNetwork bool
	// Node is this node's name, as configured.
	Node  string
	Steps []Step
	Notes []Note

	// overlay maps files that do not lie in Files to where they lie on the host,
	// and host reads them there. Both are unset where no such files are known.
	overlay func(name string) (hostPath string, mapped bool)
	host    func(ctx context.Context, name string, limit int64) (nsexec.File, error)
	closers []io.Closer
}

// ReadFile reads at most limit bytes of a file as the target's applications see
// it: from the container's root, or where there is no process to take a root
// from, from the files that the runtime or ip-netns(8) would mount. It fails
// like [nsexec.Files.ReadFile], with fs.ErrNotExist where no files are known;
// the host's own files never stand in.
func (t *Target) ReadFile(ctx context.Context, name string, limit int64) (nsexec.File, error) {
	name = path.Clean("/" + name)
	if t.overlay != nil {
		if hostPath, mapped := t.overlay(name); mapped {
			return t.host(ctx, hostPath, limit)
		}
	}
	if t.Files == nil {
		return nsexec.File{}, fmt.Errorf("%s: no files are known for this target: %w", name, fs.ErrNotExist)
	}
	return t.Files.ReadFile(ctx, name, limit)
}

// PID is the process entered, 0 for none.
func (t *Target) PID() int {
	if t.Process == nil {
		return 0
	}
	return t.Process.PID()
}

// Close gives up all that the target holds. It may be called again.
func (t *Target) Close() error {
	var errs []error
	for _, c := range t.closers {
		errs = append(errs, c.Close())
	}
	t.closers = nil
	return errors.Join(errs...)
}

func (t *Target) own(c io.Closer) { t.closers = append(t.closers, c) }

func (t *Target) note(code, format string, args ...any) {
	t.Notes = append(t.Notes, Note{Code: code, Message: words.OneLine(fmt.Sprintf(format, args...))})
}

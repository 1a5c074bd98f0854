package nsexec

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// The failures that callers tell apart with errors.Is.
var (
	// ErrUnsupported: this operating system has no Linux namespaces.
	ErrUnsupported = errors.New("network namespaces need linux")
	// ErrNoProcess: no process with this PID when it was opened.
	ErrNoProcess = errors.New("no such process")
	// ErrGone: the pinned process ended after it was opened.
	ErrGone = errors.New("process has ended")
	// ErrZombie: the process has ended and waits to be reaped; it has no
	// namespaces any more.
	ErrZombie = errors.New("process is a zombie")
	// ErrKernelThread: a kernel thread has no network or files of its own.
	ErrKernelThread = errors.New("process is a kernel thread")
	// ErrNotNetns: the path is no network namespace.
	ErrNotNetns = errors.New("not a network namespace")
	// ErrNotRegular: the file is a directory, device, FIFO or socket.
	ErrNotRegular = errors.New("not a regular file")
	// ErrNotLiteral: the address holds a name where only a literal IP address
	// and a numeric port are dialled.
	ErrNotLiteral = errors.New("not a literal address and port")
	// ErrReadersBusy: so many reads of the target's files hang in the kernel that no
	// further one is started.
	ErrReadersBusy = errors.New("too many reads of these files hang")
	// ErrTooMany: a directory holds more entries than whoever reads it wants.
	ErrTooMany = errors.New("more")
	// ErrClosed: the handle was used after Close.
	ErrClosed = errors.New("handle is closed")
)

// OutOfFiles reports whether err is that this process, or the machine, has as many
// files open as it may (EMFILE, ENFILE).
func OutOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// OutOfFilesHint says what to do then.
const OutOfFilesHint = "The server has as many files open as it may: call again, make fewer calls at a time, or raise its limit (LimitNOFILE of systemd, ulimit -n)."

// KernelTooOldError says that the running kernel lacks what nsexec builds on.
type KernelTooOldError struct {
	Have string // release as uname(2) gives it
	Need string // lowest version that works
}

func (e *KernelTooOldError) Error() string {
	return fmt.Sprintf("kernel %s is too old, %s or newer is needed", e.Have, e.Need)
}

// PermissionError says which step the kernel refused and which capabilities
// would have allowed it. A refusal in spite of them comes from a security
// module (AppArmor, SELinux, Yama, Landlock) or a foreign user namespace.
type PermissionError struct {
	Op   string   // what was tried: "open network namespace of pid 12"
	Need []string // capability names as in capabilities(7)
	Err  error    // the kernel's answer
}

func (e *PermissionError) Error() string {
	return fmt.Sprintf("%s: %v (needs %s)", e.Op, e.Err, strings.Join(e.Need, ", "))
}

func (e *PermissionError) Unwrap() error { return e.Err }

// PanicError is a panic of a function that ran inside a namespace. The thread
// it ran on is retired.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic in a namespace: %v", e.Value) }

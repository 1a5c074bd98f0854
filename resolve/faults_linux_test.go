package resolve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/nsexec"
)

// faultyVariable in the environment makes this binary a resolver with a fault, see
// resolveWithFault.
const faultyVariable = "RESOLVE_TEST_FAULTY"

// faulty is what such a process is told.
type faulty struct {
	Call           uintptr
	Errno          unix.Errno
	Docker, CRI    string // addresses of the runtimes
	Kubeconfig     string
	Root           string // of the node's files
	PID            int
	Container, IP  string
	Inode          uint64 // of the only right network
	Pod, Namespace string
}

// faultReport is what the process says: what was wrong, by step.
type faultReport struct {
	Before, After int // open files
	Wrong         map[string]string
}

// TestFaults makes one system call after the other fail, always and in every thread, in
// a process that resolves a pod by each source. They are those that strace(1) shows of
// such a process, and of others in nsexec, without what Go's runtime does for itself. Whatever fails, each step ends with the
// right network or with a typed error, and no descriptor is left open.
func TestFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}}})
	runtime, err := lab.StartRuntime(w.Node, lab.Containerd17)
	if err != nil {
		t.Fatal(err)
	}
	api := newKubeAPI(t, made(t, `{"kind":"Pod","metadata":{"name":"web-0","namespace":"shop","uid":"00000000-0000-4000-8000-000000000001"},"spec":{"nodeName":%q}}`, w.Node.Name))
	told := faulty{
		Docker: w.engine.Host(), CRI: runtime.Endpoint(), Kubeconfig: api.config(t), Root: treeOf(t, web).root,
		PID: web.Sandbox.PID(), Container: web.Containers[0].ID, IP: web.IP.String(), Inode: web.Handle.Identity().Inode, Pod: "web-0", Namespace: "shop",
	}
	for name, number := range map[string]uintptr{
		"openat": unix.SYS_OPENAT, "openat2": unix.SYS_OPENAT2, "newfstatat": unix.SYS_NEWFSTATAT, "fstat": unix.SYS_FSTAT, "fstatfs": unix.SYS_FSTATFS,
		"statx": unix.SYS_STATX, "getdents64": unix.SYS_GETDENTS64, "readlinkat": unix.SYS_READLINKAT, "pread64": unix.SYS_PREAD64, "fcntl": unix.SYS_FCNTL, "dup3": unix.SYS_DUP3,
		"socket": unix.SYS_SOCKET, "connect": unix.SYS_CONNECT, "getsockname": unix.SYS_GETSOCKNAME, "getpeername": unix.SYS_GETPEERNAME,
		"getsockopt": unix.SYS_GETSOCKOPT, "setsockopt": unix.SYS_SETSOCKOPT, "sendto": unix.SYS_SENDTO, "recvfrom": unix.SYS_RECVFROM, "recvmsg": unix.SYS_RECVMSG,
		"setns":      unix.SYS_SETNS, //nolint:forbidigo // it is made to fail
		"pidfd_open": unix.SYS_PIDFD_OPEN, "pidfd_send_signal": unix.SYS_PIDFD_SEND_SIGNAL, "ioctl": unix.SYS_IOCTL, "uname": unix.SYS_UNAME,
		"read": unix.SYS_READ, "write": unix.SYS_WRITE, "close": unix.SYS_CLOSE, "epoll_ctl": unix.SYS_EPOLL_CTL,
	} {
		for _, errno := range []unix.Errno{unix.EPERM, unix.EMFILE, unix.ENOSYS, unix.EINTR} {
			if errno == unix.EINTR && slices.Contains([]string{"openat", "fstat", "getdents64", "read", "write"}, name) {
				continue // packages os and net go on trying, as befits a signal
			}
			t.Run(name+" "+unix.ErrnoName(errno), func(t *testing.T) {
				t.Parallel()
				told := told
				told.Call, told.Errno = number, errno
				text, err := json.Marshal(told)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // much more than all steps may take
				defer cancel()
				cmd := exec.CommandContext(ctx, "/proc/self/exe")
				cmd.Env = append(os.Environ(), faultyVariable+"="+string(text))
				cmd.Stderr = os.Stderr
				out, err := cmd.Output()
				var report faultReport
				if err != nil || json.Unmarshal(out, &report) != nil {
					t.Fatalf("%s, %v", out, err)
				}
				for step, wrong := range report.Wrong {
					t.Errorf("%s: %s", step, wrong)
				}
				if report.After > report.Before && name != "close" {
					t.Errorf("%d files open before, %d after", report.Before, report.After)
				}
			})
		}
	}
}

// resolveWithFault takes all steps without the fault and then with it.
func resolveWithFault() error {
	var told faulty
	if err := json.Unmarshal([]byte(os.Getenv(faultyVariable)), &told); err != nil {
		return err
	}
	home, err := nsexec.NewHome()
	if err != nil {
		return err
	}
	docker := NewDocker(DockerOptions{Host: told.Docker})
	defer func() { _ = docker.Close() }()
	runtimes, err := NewCRI(CRIOptions{Endpoint: told.CRI})
	if err != nil {
		return err
	}
	limit := time.Minute
	resolver := func(root string, sources ...Source) *Resolver {
		return New(Config{Home: home, Host: home.Self(), Root: root, Sources: sources, AllowHostNetwork: true})
	}
	byFiles := []Source{NewNodeFiles(home, told.Root), NewCgroups(told.Root)}
	pod := Query{Pod: told.Pod, Namespace: told.Namespace}
	steps := map[string]func(context.Context) (*Target, error){}
	for name, by := range map[string]struct {
		root    string
		sources []Source
		query   Query
	}{
		"docker":         {"/", []Source{docker}, pod},
		"CRI":            {"/", []Source{runtimes[0]}, pod},
		"files":          {told.Root, byFiles, pod},
		"all":            {"/", append([]Source{docker, runtimes[0]}, byFiles...), pod},
		"by its pid":     {"/", nil, Query{PID: new(told.PID)}},
		"by its network": {"/", nil, Query{Netns: strconv.FormatUint(told.Inode, 10)}},
		"by its address": {"/", nil, Query{IP: told.IP}},
		"by container":   {"/", []Source{docker, runtimes[0]}, Query{Container: told.Container}},
	} {
		steps[name] = func(ctx context.Context) (*Target, error) {
			r := resolver(by.root, by.sources...)
			defer r.Close()
			return r.Resolve(ctx, by.query)
		}
		steps["what is here, "+name] = func(ctx context.Context) (*Target, error) {
			r := resolver(by.root, by.sources...)
			defer r.Close()
			_, err := r.Discover(ctx)
			return nil, err
		}
	}
	kube := NewKube(KubeOptions{Config: told.Kubeconfig, Operator: true})
	defer func() { _ = kube.Close() }()
	steps["the API"] = func(ctx context.Context) (*Target, error) {
		_, err := kube.Exact(ctx, pod)
		return nil, err
	}
	steps["the API's list"] = func(ctx context.Context) (*Target, error) {
		_, err := kube.List(ctx)
		return nil, err
	}
	steps["bundles"] = func(ctx context.Context) (*Target, error) {
		_, err := NewBundles(home, told.Root).List(ctx)
		if errors.Is(err, ErrAbsent) {
			err = nil
		}
		return nil, err
	}
	take := func() map[string]string {
		wrong := map[string]string{}
		for name, step := range steps {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			began := time.Now()
			target, err := step(ctx)
			cancel()
			var typed *Error
			var refusal *nsexec.PermissionError
			switch {
			case time.Since(began) > limit+time.Minute:
				wrong[name] = "it went on after its deadline"
			case target != nil:
				if at := target.Net.Identity().Inode; at != told.Inode {
					wrong[name] = fmt.Sprintf("network %d, want %d", at, told.Inode)
				}
				if err := target.Close(); err != nil && told.Call != unix.SYS_CLOSE {
					wrong[name] = "close: " + err.Error()
				}
			case err != nil && !errors.As(err, &typed) && !errors.As(err, &refusal) && !errors.Is(err, told.Errno) && !errors.Is(err, context.DeadlineExceeded):
				wrong[name] = fmt.Sprintf("%T: %v", err, err)
			}
		}
		return wrong
	}
	for name, wrong := range take() {
		return fmt.Errorf("without a fault: %s: %s", name, wrong)
	}
	report := faultReport{Before: lab.OpenFiles()}
	var spared []int
	if slices.Contains([]uintptr{unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE}, told.Call) {
		spared = lab.RuntimeFiles()
	}
	if err := lab.FailCall(told.Call, told.Errno, spared...); err != nil {
		return err
	}
	if told.Call == unix.SYS_NEWFSTATAT && told.Errno == unix.EINTR {
		for _, name := range []string{"by its address", "the API", "the API's list"} {
			delete(steps, name) // package os goes on asking for the state of the node's root and of the kubeconfig
		}
	}
	limit = 2 * time.Second
	report.Wrong = take()
	_ = errors.Join(docker.Close(), kube.Close())
	// What a step has left to others to close is closed soon.
	for range 5000 {
		if report.After = lab.OpenFiles(); report.After <= report.Before {
			break
		}
		time.Sleep(time.Millisecond)
	}
	text, err := json.Marshal(report)
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	return nil
}

package nsexec_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// What TestAsNobody tells the process that it starts.
const (
	nobodyVar  = "NSEXEC_TEST_NOBODY" // a process that nobody may look into
	pinVar     = "NSEXEC_TEST_PIN"    // a namespace that everybody may open
	privateVar = "NSEXEC_TEST_PRIVATE"
)

const nobody = 65534

// TestAsNobody runs TestUnprivileged as a user without any capability.
func TestAsNobody(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/run", "private-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir+"/open", "open")
	if err := os.WriteFile(dir+"/private", []byte("private"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestUnprivileged$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), nobodyVar+"="+strconv.Itoa(os.Getpid()), pinVar+"="+pinNetns(t), privateVar+"="+dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) {
		t.Skipf("no other user can be had in this user namespace: %v", err)
	}
	t.Logf("%s", out)
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestUnprivileged")) {
		t.Errorf("as nobody: %v", err)
	}
}

func TestUnprivileged(t *testing.T) {
	if os.Getenv(nobodyVar) == "" {
		t.Skip("runs as another user, by TestAsNobody")
	}
	if status, err := os.ReadFile("/proc/self/status"); err != nil || !strings.Contains(string(status), "\nCapEff:\t0000000000000000\n") {
		t.Fatalf("has capabilities, %v:\n%s", err, status)
	}
	parent, err := strconv.Atoi(os.Getenv(nobodyVar))
	if err != nil {
		t.Fatal(err)
	}
	home := newHome(t)

	t.Run("home", func(t *testing.T) {
		self := home.Self()
		if self.Identity().Cookie == 0 {
			t.Error("no cookie")
		}
		same, err := home.OpenPath(t.Context(), "/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		defer same.Close()
		for _, h := range []*nsexec.Handle{self, same} {
			if err := h.Do(func() error { return inside(self) }); err != nil {
				t.Error(err)
			}
			ln, err := h.ListenConfig().Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go serveEcho(ln)
			c, err := h.DialContext(t.Context(), "tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, c)
			c.Close()
			if links, err := routeHandle(t, h).LinkList(); err != nil || len(links) == 0 {
				t.Errorf("links %v, %v", links, err)
			}
		}
		p := openProcess(t, home, os.Getpid())
		h, err := p.Net()
		if err != nil {
			t.Fatal(err)
		}
		h.Close()
		files, err := p.Files()
		if err != nil {
			t.Fatal(err)
		}
		files.Close()
		if n := home.RetiredThreads(); n != 0 {
			t.Errorf("%d threads were retired", n)
		}
	})
	t.Run("foreign", func(t *testing.T) {
		p := openProcess(t, home, parent)
		if !p.Alive() {
			t.Error("not alive")
		}
		if _, err := p.ReadFile(t.Context(), "cgroup", 100); err != nil {
			t.Error(err)
		}
		tree := openFiles(t, home, os.Getenv(privateVar))
		if file, err := tree.ReadFile(t.Context(), "/open", 10); err != nil || string(file.Data) != "open" {
			t.Errorf("read %q, %v", file.Data, err)
		}
		for name, test := range map[string]struct {
			need string
			f    func() error
		}{
			"open link":    {"CAP_SYS_PTRACE", func() error { _, err := home.OpenPath(t.Context(), procPath(parent, "ns/net")); return err }},
			"Net":          {"CAP_SYS_PTRACE", func() error { _, err := p.Net(); return err }},
			"Files":        {"CAP_SYS_PTRACE", func() error { _, err := p.Files(); return err }},
			"Namespaces":   {"CAP_SYS_PTRACE", func() error { _, err := p.Namespaces(); return err }},
			"environ":      {"CAP_SYS_PTRACE", func() error { _, err := p.ReadFile(t.Context(), "environ", 10); return err }},
			"enter":        {"CAP_SYS_ADMIN", func() error { _, err := home.OpenPath(t.Context(), os.Getenv(pinVar)); return err }},
			"raw socket":   {"CAP_NET_RAW", func() error { _, err := home.Self().Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP); return err }},
			"raw dial":     {"CAP_NET_RAW", func() error { _, err := home.Self().Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); return err }},
			"private file": {"CAP_DAC_READ_SEARCH", func() error { _, err := tree.ReadFile(t.Context(), "/private", 10); return err }},
		} {
			err := test.f()
			var refusal *nsexec.PermissionError
			if !errors.As(err, &refusal) || !slices.Equal(refusal.Need, []string{test.need}) || !strings.Contains(err.Error(), test.need) {
				t.Errorf("%s: %v, want a PermissionError that names %s", name, err, test.need)
			} else if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
				t.Errorf("%s: %v hides the kernel's answer", name, err)
			}
		}
		if n := home.RetiredThreads(); n != 0 {
			t.Errorf("%d threads were retired", n)
		}
		threadsAtHome(t, home)
	})
}

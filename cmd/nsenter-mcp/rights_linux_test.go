package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

const nobody = 65534

// openProgram is a copy of the program that every user may start.
func openProgram(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rights") // unlike t.TempDir, in no folder that is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "nsenter-mcp")
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	// A process that is forked meanwhile would hold the file open: "text file busy".
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{to.Close(), os.Chmod(path, 0o755), os.Chmod(dir, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// fileCapabilities is the attribute that setcap writes for NAME+ep (capabilities(7),
// "File capabilities": vfs_cap_data of revision 2 with the effective bit).
func fileCapabilities(bits ...uint) []byte {
	var permitted uint32
	for _, bit := range bits {
		permitted |= 1 << bit
	}
	data := binary.LittleEndian.AppendUint32(nil, 0x02000001)
	return append(binary.LittleEndian.AppendUint32(data, permitted), make([]byte, 12)...)
}

// A program whose file has rights gives them to nobody who may start the file.
func TestRefusesSecureExecution(t *testing.T) {
	t.Parallel()
	lab.OtherUsers(t)
	var fs unix.Statfs_t
	if err := unix.Statfs(os.TempDir(), &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Flags&unix.ST_NOSUID != 0 {
		t.Skipf("%s is mounted nosuid, where no file has rights", os.TempDir())
	}
	for name, c := range map[string]struct {
		give    func(path string) error
		refused bool
	}{
		"plain": {func(string) error { return nil }, false},
		"setcap": {func(path string) error {
			return unix.Setxattr(path, "security.capability", fileCapabilities(unix.CAP_SYS_ADMIN, unix.CAP_NET_RAW), 0)
		}, true},
		"setuid": {func(path string) error { return unix.Chmod(path, 0o4755) }, true},
	} {
		path := openProgram(t)
		if err := c.give(path); err != nil {
			t.Skipf("%s: no rights can be given to a file here: %v", name, err)
		}
		for _, args := range [][]string{{"version"}, {"call", "resolve_pod_pid"}, {}} {
			cmd := program(t, args...)
			cmd.Path, cmd.Dir = path, "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil {
				t.Fatal(err)
			}
			refused := strings.Contains(string(out), "the program's file has capabilities or a set-user-ID bit") &&
				strings.Contains(string(out), "use sudo, or systemd with ambient capabilities") && cmd.ProcessState.ExitCode() == exitFailed
			if refused != c.refused {
				t.Errorf("%s %q: exit code %d, %s", name, args, cmd.ProcessState.ExitCode(), out)
			}
		}
	}
}

// A user namespace of one's own, as "podman unshare" makes it, is enough for what lies in
// it: the doctor enters, although the thread that did cannot come back.
func TestDoctorInAUserNamespace(t *testing.T) {
	t.Parallel()
	cmd := program(t, "doctor", "--json")
	cmd.Path, cmd.Dir = openProgram(t), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: nobody, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: nobody, Size: 1}},
		Credential:  &syscall.Credential{NoSetGroups: true},
	}
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Skipf("no user namespace can be had here: %v", err)
	}
	r := decode[struct {
		OK     bool
		Checks []struct{ ID, Status, Detail, Cost string }
	}](t, string(out))
	for _, c := range r.Checks {
		if c.ID == "enter" && (c.Status != "ok" || !strings.Contains(c.Detail, "the way back is closed")) ||
			c.ID == "user_namespace" && (c.Status != "info" || !strings.Contains(c.Cost, "rootless podman")) {
			t.Errorf("%+v", c)
		}
	}
	if !r.OK || err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// unit is deploy/nsenter-mcp.service.
func unit(t *testing.T) (text string, setting func(key string) string) {
	t.Helper()
	data, err := os.ReadFile("../../deploy/nsenter-mcp.service")
	if err != nil {
		t.Fatal(err)
	}
	return string(data), func(key string) string {
		for line := range strings.Lines(string(data)) {
			if value, ok := strings.CutPrefix(line, key+"="); ok {
				return strings.TrimSpace(value)
			}
		}
		t.Fatalf("the unit has no %s", key)
		return ""
	}
}

// systemd itself reads the unit.
func TestUnitIsValid(t *testing.T) {
	t.Parallel()
	analyze := lab.Program(t, "systemd-analyze")
	text, setting := unit(t)
	path := filepath.Join(t.TempDir(), "nsenter-mcp.service")
	text = strings.ReplaceAll(text, strings.Fields(setting("ExecStart"))[0], "/bin/true") // it has to be there
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", path).CombinedOutput()
	if err != nil || strings.Contains(string(out), "nsenter-mcp.service") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The unit's command works with the unit's capabilities and no others.
func TestServesWithTheUnitsCapabilities(t *testing.T) {
	t.Parallel()
	lab.OtherUsers(t)
	_, setting := unit(t)
	names := strings.Fields(setting("AmbientCapabilities"))
	if bound := strings.Fields(setting("CapabilityBoundingSet")); !slices.Equal(names, bound) {
		t.Errorf("ambient are %v, bounded to %v", names, bound)
	}
	numbers := map[string]uintptr{
		"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE,
		"CAP_NET_RAW": unix.CAP_NET_RAW, "CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH,
	}
	var ambient []uintptr
	for _, name := range names {
		number, ok := numbers[name]
		if !ok {
			t.Fatalf("the unit asks for %s", name)
		}
		ambient = append(ambient, number)
	}

	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	pod, err := l.AddPod(lab.PodSpec{Name: "web", Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}

	path := openProgram(t)
	socketDir := filepath.Join(filepath.Dir(path), "run")
	if err := os.Mkdir(socketDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(socketDir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(setting("ExecStart"))
	if len(words) != 4 || words[1] != "serve" || words[2] != "--unix" {
		t.Fatalf("ExecStart is %q", words)
	}
	s := startServeAs(t, func(cmd *exec.Cmd) {
		cmd.Path, cmd.Dir = path, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: ambient}
	}, "--unix", filepath.Join(socketDir, "nsenter-mcp.sock"))
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil || !strings.Contains(string(status), "Uid:\t65534\t65534") {
		t.Fatalf("%v\n%s", err, status)
	}
	for tool, want := range map[string]string{"netns_ip_addr": pod.IP.String(), "resolve_pod_pid": `"netns_inode"`, "netns_dns_lookup": `"outcome"`} {
		arguments := fmt.Sprintf(`{"pid":%d}`, pod.PID)
		if tool == "netns_dns_lookup" {
			arguments = fmt.Sprintf(`{"pid":%d,"name":"localhost"}`, pod.PID)
		}
		if code, body, err := s.call(1, tool, arguments); err != nil || code != 200 || strings.Contains(body, `"isError":true`) || !strings.Contains(body, want) {
			t.Errorf("%s: %v, status %d, %s", tool, err, code, body)
		}
	}
}

//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nsenter-mcp/internal/lab"
)

// rootlessScript runs a container of a user's own podman and calls the program with its
// PID, as that user: by itself, by podman unshare, and there by the container's name.
// crun takes no hybrid cgroups, so the second version is hidden, and the user has no
// range of IDs, so he is the only one of his user namespace.
const rootlessScript = `
umount /sys/fs/cgroup/unified 2>/dev/null
mount --make-rshared / || exit 3
cd "$1/home" || exit 3
as() { setpriv --reuid 65534 --regid 65534 --clear-groups env -i HOME="$1/home" XDG_RUNTIME_DIR="$1/run" CONTAINERS_CONF="$1/conf" PATH="$PATH" "${@:2}"; }
as "$1" podman run -d --cgroups=disabled --network none --name rootless --rootfs "$1/rootfs" /guest >&2 || exit 4
pid=$(as "$1" podman inspect -f '{{.State.Pid}}' rootless)
as "$1" "$1/nsenter-mcp" call netns_ip_addr pid="$pid" >"$1/alone"
as "$1" podman unshare "$1/nsenter-mcp" call netns_ip_addr pid="$pid" >"$1/unshare"
as "$1" podman unshare "$1/nsenter-mcp" call netns_ip_addr container=rootless >"$1/named"
as "$1" podman rm -f -t 0 rootless >&2
`

// TestRootlessPodman: the hint of a refusal, podman unshare, is a way in.
func TestRootlessPodman(t *testing.T) {
	lab.OtherUsers(t)
	for _, name := range []string{"podman", "crun", "setpriv", "unshare", "umount"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%v", err)
		}
	}
	dir := t.TempDir()
	guestFolder(t, filepath.Join(dir, "rootfs"))
	data, err := os.ReadFile(program())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "nsenter-mcp"), data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	const conf = "[engine]\nruntime = \"crun\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n"
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte(rootlessScript), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"home", "run"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"home", "run", "rootfs", "rootfs/guest"} {
		if err := os.Chown(filepath.Join(dir, name), 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), "unshare", "-m", "bash", script, dir).CombinedOutput()
	if code := exitCode(err); code == 3 || code == 4 {
		t.Skipf("a container of a user cannot run here: %s", out)
	}
	var alone, unshared, named struct {
		Error  struct{ Code, Hint string }
		Target struct {
			Container   string
			PID         int
			HostNetwork bool `json:"host_network"`
		}
	}
	for name, into := range map[string]any{"alone": &alone, "unshare": &unshared, "named": &named} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatalf("%s: %v\n%s\n%s", name, err, text, out)
		}
	}
	if alone.Error.Code != "permission_denied" || !strings.Contains(alone.Error.Hint, "podman unshare") {
		t.Errorf("by itself: %+v", alone.Error)
	}
	if unshared.Error.Code != "" || unshared.Target.PID == 0 || unshared.Target.HostNetwork {
		t.Errorf("by podman unshare: %+v", unshared)
	}
	if named.Target.Container != "rootless" || named.Target.PID != unshared.Target.PID {
		t.Errorf("by its name: %+v", named)
	}
}

func exitCode(err error) int {
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as os/exec returns it
		return exit.ExitCode()
	}
	return 0
}

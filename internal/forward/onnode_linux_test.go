package forward

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// deploy/on-node leads to the pod of a node, or says why it does not.
func TestOnNode(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	for what, test := range map[string]struct {
		kubectl  string // the script that stands for it; "" is none
		code     int
		out, say string // what is in standard output, and standard error
	}{
		"a pod":      {`[ "$3" = get ] && echo pod-1 || echo went "$@"`, 0, "went -n nsenter-mcp exec -i pod-1 -- /nsenter-mcp --host-root=/host call x y=z", ""},
		"two pods":   {`[ "$3" = get ] && echo pod-1 pod-2 || echo went "$@"`, 0, "exec -i pod-1 --", ""},
		"none":       {"true", 1, "", "no running pod of deploy/node.yaml on node node-7"},
		"it fails":   {`echo "Error from server (Forbidden): pods is forbidden" >&2; exit 1`, 1, "", "Error from server (Forbidden): pods is forbidden\non-node: kubectl could not list"},
		"no kubectl": {"", 1, "", "no kubectl in PATH"},
	} {
		dir := t.TempDir()
		if test.kubectl != "" {
			// A process that is forked meanwhile would hold the file open: "text file busy".
			syscall.ForkLock.RLock()
			err := os.WriteFile(filepath.Join(dir, "kubectl"), []byte("#!"+bash+"\n"+test.kubectl+"\n"), 0o700)
			syscall.ForkLock.RUnlock()
			if err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), bash, "../../deploy/on-node", "node-7", "call", "x", "y=z")
		cmd.Env = []string{"PATH=" + dir}
		var out, say bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &say
		_ = cmd.Run() // the exit code tells
		if code := cmd.ProcessState.ExitCode(); code != test.code || !strings.Contains(out.String(), test.out) || !strings.Contains(say.String(), test.say) || test.say == "" && say.Len() > 0 {
			t.Errorf("%s: exit code %d, output %q, errors %q", what, code, out.String(), say.String())
		}
		if hint := hintFor(say.String()); what == "it fails" && !strings.Contains(hint, "list on pods") || what == "no kubectl" && hint != "" {
			t.Errorf("%s: the hint is %q", what, hint)
		}
	}
}

//go:build e2e

package kube

import (
	"encoding/json"
	"path/filepath"
	"testing"
)

// The programs of the bed say which Kubernetes they are: kubectl, the API server and
// the node refuse or warn where they cannot tell each other's version.
func TestVersionOfTheBed(t *testing.T) {
	t.Parallel()
	module := filepath.Join("..", "..", "testbed")
	want := run(t, "go", "-C", module, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	var said struct {
		ClientVersion, ServerVersion struct{ GitVersion, Major, Minor string }
	}
	if err := json.Unmarshal([]byte(kubectl(t, "version", "-o", "json")), &said); err != nil {
		t.Fatal(err)
	}
	if said.ClientVersion.GitVersion != want || said.ServerVersion != said.ClientVersion || said.ServerVersion.Major != "1" || said.ServerVersion.Minor == "" {
		t.Errorf("kubectl version says %+v, the module is %s", said, want)
	}
	if node := kubectl(t, "get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}"); node != want {
		t.Errorf("the node's version is %s, the module's %s", node, want)
	}
}

package resolve

import (
	"strconv"
	"strings"
)

// k8sName is what the kubelet writes into the name of a Docker container:
// k8s_<container>_<pod>_<namespace>_<uid>_<attempt>, the sandbox's container
// being called POD. Names of Kubernetes hold no underscore. Where a name was
// taken, a random part follows (dockershim, naming.go).
type k8sName struct {
	Container, Pod, Namespace, UID string
	Attempt                        int
}

// sandboxContainer is the kubelet's name for a pod's pause container.
const sandboxContainer = "POD"

func parseK8sName(name string) (k8sName, bool) {
	parts := strings.Split(strings.TrimPrefix(name, "/"), "_")
	if len(parts) != 6 && len(parts) != 7 || parts[0] != "k8s" {
		return k8sName{}, false
	}
	for _, p := range parts[1:5] {
		if p == "" {
			return k8sName{}, false
		}
	}
	attempt, err := strconv.ParseUint(parts[5], 10, 31)
	if err != nil {
		return k8sName{}, false
	}
	// The container's part may carry a hash of its spec: app.4f2a (before 1.6).
	container, _, _ := strings.Cut(parts[1], ".")
	return k8sName{
		Container: container, Pod: parts[2], Namespace: parts[3], UID: parts[4], Attempt: int(attempt),
	}, true
}

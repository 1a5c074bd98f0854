package resolve

// The kubelet's words, as every runtime and the API repeat them.

// The labels that the kubelet gives to what it has a runtime make, and the
// annotations that tell what a runtime itself does not count or know
// (pkg/kubelet/kuberuntime/labels.go of Kubernetes).
const (
	labelPod       = "io.kubernetes.pod.name"
	labelNamespace = "io.kubernetes.pod.namespace"
	labelUID       = "io.kubernetes.pod.uid"
	labelContainer = "io.kubernetes.container.name"

	annotationRestarts = "io.kubernetes.container.restartCount"
	annotationDefault  = "kubectl.kubernetes.io/default-container"
)

// The kubelet's words for a container that it does not start now.
const (
	reasonCrashLoop    = "CrashLoopBackOff"
	reasonCreating     = "ContainerCreating"
	reasonInitializing = "PodInitializing"
)

// reasonCompleted is its word for a container that has ended well.
const reasonCompleted = "Completed"

// exitReason says in the kubelet's words why a container does not run.
func exitReason(c *Container, oomKilled bool) string {
	switch {
	case c.State.Alive() || c.ExitCode == nil:
		return ""
	case oomKilled:
		return "OOMKilled"
	case *c.ExitCode == 0:
		return reasonCompleted
	}
	return "Error"
}

package resolve

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// criSandbox is a pod sandbox as a runtime tells of it, in a list or in detail.
type criSandbox struct {
	podSandbox
	pod k8sName
}

// criContainer is a container likewise. Its pod is what its labels say; which
// sandbox it is in counts more.
type criContainer struct {
	Container
	pod       k8sName
	sandboxID string
}

// criPods is what a runtime said of some pods.
type criPods struct {
	sandboxes  []criSandbox
	containers []criContainer
}

func fromPodSandbox(p *runtimeapi.PodSandbox) criSandbox {
	return criSandbox{
		podSandbox: podSandbox{
			Sandbox: Sandbox{
				ID: p.GetId(), State: sandboxState(p.GetState()), Attempt: int(p.GetMetadata().GetAttempt()),
				Created: unixNano(p.GetCreatedAt()), Runtime: text(p.GetRuntimeHandler()),
			},
			defaultContainer: text(p.GetAnnotations()[annotationDefault]),
		},
		pod: podOfSandbox(p.GetId(), p.GetMetadata()),
	}
}

// fromSandboxStatus takes what the details of a sandbox say; false where they
// are none.
func fromSandboxStatus(r *runtimeapi.PodSandboxStatusResponse) (criSandbox, bool) {
	p := r.GetStatus()
	if len(p.GetId()) < minIDPrefix {
		return criSandbox{}, false
	}
	s := fromPodSandbox(&runtimeapi.PodSandbox{
		Id: p.GetId(), Metadata: p.GetMetadata(), State: p.GetState(), CreatedAt: p.GetCreatedAt(),
		Labels: p.GetLabels(), Annotations: p.GetAnnotations(), RuntimeHandler: p.GetRuntimeHandler(),
	})
	s.hostNetwork = p.GetLinux().GetNamespaces().GetOptions().GetNetwork() == runtimeapi.NamespaceMode_NODE
	info := parseCRIInfo(r.GetInfo())
	// A handler may be called anything; the type tells what it is.
	if s.Runtime == "" || isVM(info.runtime) {
		s.Runtime = cmp.Or(info.runtime, s.Runtime)
	}
	s.hostFiles, s.netnsClosed, s.started = info.hostFiles, info.netnsClosed, s.Created
	if s.State.Alive() {
		s.PID = info.pid
	}
	if !s.netnsClosed && !s.hostNetwork {
		s.NetnsPath = info.netnsPath
	}
	return s, true
}

func fromCRIContainer(c *runtimeapi.Container) criContainer {
	return criContainer{
		Container: Container{
			ID: c.GetId(), Name: nameIn(c.GetMetadata().GetName()), State: containerState(c.GetState()),
			Image:    imageName(c.GetImage(), c.GetImageRef()),
			Restarts: restartsOf(c.GetAnnotations(), c.GetMetadata()), Created: unixNano(c.GetCreatedAt()),
		},
		pod:       podOfLabels(c.GetLabels()),
		sandboxID: c.GetPodSandboxId(),
	}
}

// fromContainerStatus takes what the details of a container say; false where
// they are none.
func fromContainerStatus(r *runtimeapi.ContainerStatusResponse) (criContainer, bool) {
	s := r.GetStatus()
	if len(s.GetId()) < minIDPrefix {
		return criContainer{}, false
	}
	info := parseCRIInfo(r.GetInfo())
	c := fromCRIContainer(&runtimeapi.Container{
		Id: s.GetId(), PodSandboxId: info.sandboxID, Metadata: s.GetMetadata(), Image: s.GetImage(), ImageRef: s.GetImageRef(),
		State: s.GetState(), CreatedAt: s.GetCreatedAt(), Labels: s.GetLabels(), Annotations: s.GetAnnotations(),
	})
	c.StartedAt, c.FinishedAt = unixNano(s.GetStartedAt()), unixNano(s.GetFinishedAt())
	c.Reason, c.Message = text(s.GetReason()), text(s.GetMessage())
	c.Runtime, c.hostFiles = info.runtime, info.hostFiles
	if c.State == StateExited {
		code := int(s.GetExitCode())
		c.ExitCode = &code
		c.Reason = cmp.Or(c.Reason, exitReason(&c.Container, false))
	}
	// CRI-O keeps the number when the process has ended.
	if c.State.Alive() {
		c.PID = info.pid
	}
	return c, true
}

func sandboxState(s runtimeapi.PodSandboxState) State {
	if s == runtimeapi.PodSandboxState_SANDBOX_READY {
		return StateRunning
	}
	return StateExited
}

func containerState(s runtimeapi.ContainerState) State {
	switch s {
	case runtimeapi.ContainerState_CONTAINER_CREATED:
		return StateCreated
	case runtimeapi.ContainerState_CONTAINER_RUNNING:
		return StateRunning
	case runtimeapi.ContainerState_CONTAINER_EXITED:
		return StateExited
	}
	return "" // CONTAINER_UNKNOWN
}

// unixNano reads the times of CRI; zero for what has not happened.
func unixNano(ns int64) time.Time {
	if ns <= 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// podOfSandbox reads the metadata of a sandbox, which is free text of whoever
// made it. What cannot be a name does not count; then the sandbox's ID is what
// the pod can be named by.
func podOfSandbox(id string, m *runtimeapi.PodSandboxMetadata) k8sName {
	pod := k8sName{Pod: nameIn(m.GetName()), Namespace: cmp.Or(nameIn(m.GetNamespace()), "default"), UID: nameIn(m.GetUid())}
	if pod.Pod == "" {
		return k8sName{UID: cmp.Or(pod.UID, id)}
	}
	return pod
}

func podOfLabels(labels map[string]string) k8sName {
	return k8sName{Pod: nameIn(labels[labelPod]), Namespace: nameIn(labels[labelNamespace]), UID: nameIn(labels[labelUID])}
}

// nameIn returns s if it can be a name, else "".
func nameIn(s string) string {
	if checkName("", s, "") != nil {
		return ""
	}
	return s
}

// imageName prefers what a person has written. Runtimes say the ID where the
// kubelet has asked by it.
func imageName(image *runtimeapi.ImageSpec, ref string) string {
	for _, name := range []string{image.GetUserSpecifiedImage(), image.GetImage(), ref} {
		if name != "" && !strings.HasPrefix(name, "sha256:") {
			return text(name)
		}
	}
	return text(cmp.Or(image.GetImage(), ref))
}

// restartsOf counts by the annotation, else by the attempt, which the kubelet
// counts the same way.
func restartsOf(annotations map[string]string, m *runtimeapi.ContainerMetadata) int {
	if n, err := strconv.ParseUint(annotations[annotationRestarts], 10, 31); err == nil {
		return int(n)
	}
	return int(m.GetAttempt())
}

// key is what tells pods apart: the UID, else the name.
func (n k8sName) key() string { return cmp.Or(n.UID, n.Namespace+"/"+n.Pod) }

// workloads groups sandboxes and containers by pod, in the order in which they
// come.
func (p *criPods) workloads() []Workload {
	var order []string
	groups := map[string]*criPods{}
	group := func(key string) *criPods {
		if groups[key] == nil {
			groups[key] = &criPods{}
			order = append(order, key)
		}
		return groups[key]
	}
	podOf := map[string]string{} // sandbox ID to pod
	for _, s := range p.sandboxes {
		podOf[s.ID] = s.pod.key()
		g := group(s.pod.key())
		g.sandboxes = append(g.sandboxes, s)
	}
	for _, c := range p.containers {
		key := cmp.Or(podOf[c.sandboxID], c.pod.key())
		if key == "/" {
			key = cmp.Or(c.sandboxID, c.ID) // neither sandbox nor labels: it can be named by its ID
		}
		g := group(key)
		g.containers = append(g.containers, c)
	}
	ws := make([]Workload, 0, len(order))
	for _, key := range order {
		ws = append(ws, groups[key].workload(key))
	}
	return ws
}

// workload makes one of what belongs to one pod.
func (p *criPods) workload(key string) Workload {
	pod := k8sName{}
	sandboxes, containers := make([]podSandbox, 0, len(p.sandboxes)), make([]Container, 0, len(p.containers))
	for i := range p.sandboxes {
		pod = p.sandboxes[i].pod
		sandboxes = append(sandboxes, p.sandboxes[i].podSandbox)
	}
	for i := range p.containers {
		containers = append(containers, p.containers[i].Container)
	}
	if len(sandboxes) == 0 {
		if pod = p.containers[0].pod; pod.Pod == "" {
			pod.UID = key
		}
	}
	w := podWorkload(pod, sandboxes, containers)
	if isVM(w.runtime()) {
		// A process that is told of is the machine's, not the container's.
		for i := range w.Containers {
			w.Containers[i].PID = 0
		}
	}
	return w
}

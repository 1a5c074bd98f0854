package resolve

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Labels that only Docker containers have (dockershim and cri-dockerd,
// core/labels.go). Annotations of the pod become labels of the sandbox with a
// prefix.
const (
	labelType     = "io.kubernetes.docker.type"
	labelSandbox  = "io.kubernetes.sandbox.id"
	labelRestarts = "annotation." + annotationRestarts
	labelDefault  = "annotation." + annotationDefault

	typeSandbox = "podsandbox"
)

// dockerContainer is one container as the engine tells of it, in a list or in
// detail. Its Name is the engine's.
type dockerContainer struct {
	Container
	labels  map[string]string
	network string // NetworkMode: "bridge", "host", "container:<id>", a network's name
	// restless: it is being restarted or runs for a few minutes only, so that it may
	// be one that crashes again and again. A list does not tell.
	restless bool
	// podman says which of podman's pods it is in; zero for none.
	podman k8sName
}

// pod says which pod the container belongs to, by its labels, else by its name.
// Labels are free text of whoever made the container, so what cannot be a name
// does not count.
func (c *dockerContainer) pod() (k8sName, bool) {
	if c.podman.Pod != "" {
		return c.podman, true
	}
	named, byName := parseK8sName(c.Name)
	pod := k8sName{
		Container: c.labels[labelContainer],
		Pod:       c.labels[labelPod],
		Namespace: c.labels[labelNamespace],
		UID:       c.labels[labelUID],
		Attempt:   named.Attempt,
	}
	if pod.Pod == "" {
		return named, byName
	}
	for _, s := range []string{pod.Pod, cmp.Or(pod.Namespace, "default"), cmp.Or(pod.UID, "0"), cmp.Or(pod.Container, "c")} {
		if checkName("", s, "") != nil {
			return k8sName{}, false
		}
	}
	pod.Namespace = cmp.Or(pod.Namespace, "default")
	pod.Container = cmp.Or(pod.Container, named.Container)
	if c.labels[labelType] == typeSandbox {
		pod.Container = sandboxContainer
	}
	if n, err := strconv.ParseUint(c.labels[labelRestarts], 10, 31); err == nil {
		pod.Attempt = int(n)
	}
	return pod, true
}

// sandbox is the container seen as the owner of a network.
func (c *dockerContainer) sandbox() *Sandbox {
	s := &Sandbox{
		ID: c.ID, Name: c.Name, PID: c.PID, State: c.State, Created: c.Created,
		NetnsPath: c.NetnsPath, Runtime: c.Runtime, started: c.StartedAt, hostFiles: c.hostFiles,
	}
	if pod, ok := c.pod(); ok {
		s.Attempt = pod.Attempt
	}
	return s
}

// sandboxID is the container whose network this one of a pod has; "" where it
// owns that itself, or where that is not said.
func (c *dockerContainer) sandboxID() string {
	if id := c.labels[labelSandbox]; len(id) == idLength && isHex(id) {
		return id
	}
	if id, joined := strings.CutPrefix(c.network, "container:"); joined && len(id) == idLength && isHex(id) {
		return id
	}
	return ""
}

// groupDocker makes workloads of containers: one for each pod, one for each
// container without a pod, in the order in which they come.
func groupDocker(all []dockerContainer) []Workload {
	var order []string
	groups := map[string][]dockerContainer{}
	for i := range all {
		c := &all[i]
		key := c.ID
		if pod, ok := c.pod(); ok {
			key = "pod " + cmp.Or(pod.UID, pod.Namespace+"/"+pod.Pod)
		}
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], *c)
	}
	workloads := make([]Workload, 0, len(order))
	for _, key := range order {
		members := groups[key]
		if _, ok := members[0].pod(); ok {
			workloads = append(workloads, dockerPod(members))
		} else {
			workloads = append(workloads, Workload{
				Containers: []Container{members[0].Container}, HostNetwork: members[0].network == "host",
			})
		}
	}
	return workloads
}

// dockerPod makes one workload of the containers of a pod, past ones included.
func dockerPod(members []dockerContainer) Workload {
	pod, _ := members[0].pod()
	own, rest := splitSandboxes(members)
	sandboxes, containers := make([]podSandbox, 0, len(own)), make([]Container, 0, len(rest))
	for i := range own {
		s := podSandbox{Sandbox: *own[i].sandbox(), hostNetwork: own[i].network == "host", defaultContainer: text(own[i].labels[labelDefault])}
		sandboxes = append(sandboxes, s)
	}
	for i := range rest {
		named, _ := rest[i].pod()
		c := rest[i].Container
		c.RuntimeName, c.Name = c.Name, cmp.Or(named.Container, c.Name)
		c.Restarts = max(c.Restarts, named.Attempt)
		containers = append(containers, c)
	}
	return podWorkload(pod, sandboxes, containers)
}

// splitSandboxes parts a pod's sandboxes from its other containers. Where none
// is marked as one, it is the container whose network the others have joined.
func splitSandboxes(members []dockerContainer) (sandboxes, rest []dockerContainer) {
	joined := map[string]bool{}
	for i := range members {
		if id, ok := strings.CutPrefix(members[i].network, "container:"); ok {
			joined[id] = true
		}
	}
	marked := slices.ContainsFunc(members, func(c dockerContainer) bool { return c.isSandbox() })
	for _, c := range members {
		if c.isSandbox() || !marked && (joined[c.ID] || joined[c.Name]) {
			sandboxes = append(sandboxes, c)
		} else {
			rest = append(rest, c)
		}
	}
	return sandboxes, rest
}

func (c *dockerContainer) isSandbox() bool {
	pod, ok := c.pod()
	return ok && pod.Container == sandboxContainer
}

// startedLately reads from a list's status, "Up 20 seconds (healthy)", that it is
// crashLately or less since the container was started.
func startedLately(status string) bool {
	up, found := strings.CutPrefix(status, "Up ")
	if !found {
		return false
	}
	up, _, _ = strings.Cut(up, " (")
	n, unit, _ := strings.Cut(up, " ")
	minutes, err := strconv.Atoi(n)
	return up == "Less than a second" || up == "About a minute" || strings.HasPrefix(unit, "second") ||
		unit == "minutes" && err == nil && time.Duration(minutes)*time.Minute <= crashLately
}

// exitCodeIn reads the code of a list's status: "Exited (137) 2 minutes ago",
// "Restarting (1) 3 seconds ago".
func exitCodeIn(status string) *int {
	word, rest, _ := strings.Cut(status, " (")
	if word != "Exited" && word != "Restarting" {
		return nil
	}
	number, _, _ := strings.Cut(rest, ")")
	code, err := strconv.ParseInt(number, 10, 32)
	if err != nil {
		return nil
	}
	exit := int(code)
	return &exit
}

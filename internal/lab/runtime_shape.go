package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// isCRIO reports whether CRI-O itself answers.
func (k RuntimeKind) isCRIO() bool { return k == CRIO || k == CRIOPause || k == CRIOKata }

// isKata reports whether pods run in virtual machines.
func (k RuntimeKind) isKata() bool { return k == Kata || k == KataRust || k == CRIOKata }

// labels are those of the kubelet for CRI, without what only a Docker container
// needs.
func (c record) labels(kind RuntimeKind) map[string]string {
	labels := map[string]string{}
	for key, value := range c.Labels {
		if c.shows(kind, key) {
			labels[key] = value
		}
	}
	return labels
}

func (c record) shows(kind RuntimeKind, key string) bool {
	switch key {
	case "io.kubernetes.docker.type", "io.kubernetes.sandbox.id":
		return false
	case "io.kubernetes.container.name":
		return c.Join != nil || kind.isCRIO() // which calls the sandbox POD, as Docker's does
	}
	return !strings.HasPrefix(key, "annotation.")
}

func (c record) has(kind RuntimeKind, selector map[string]string) bool {
	for key, value := range selector {
		if got, ok := c.Labels[key]; !ok || got != value || !c.shows(kind, key) {
			return false
		}
	}
	return true
}

// ready says what a runtime calls the sandbox. One that needs no process is
// ready as long as it is there.
func (c record) ready(kind RuntimeKind) runtimeapi.PodSandboxState {
	if c.status.State == Running || kind == CRIO {
		return runtimeapi.PodSandboxState_SANDBOX_READY
	}
	return runtimeapi.PodSandboxState_SANDBOX_NOTREADY
}

func (c record) hostNetwork() bool { return c.netns != nil && c.netns.Style == HostNetwork }

func (c record) podMetadata() *runtimeapi.PodSandboxMetadata {
	return &runtimeapi.PodSandboxMetadata{Name: c.Pod.Name, Namespace: c.Pod.Namespace, Uid: c.Pod.UID, Attempt: uint32(c.Pod.Attempt)}
}

// handler is what the RuntimeClass of the pod names. CRI-O and cri-dockerd leave
// it out of their lists.
func (c record) handler(kind RuntimeKind) string {
	if kind.isKata() && !kind.isCRIO() {
		return "kata"
	}
	return ""
}

// handlerStatus is what the details of a sandbox say instead: CRI-O nothing either,
// cri-dockerd the engine's runtime (0.4.3, core/sandbox_status.go).
func (c record) handlerStatus(kind RuntimeKind) string {
	if kind == CRIDockerd {
		return "runc"
	}
	return c.handler(kind)
}

func (c record) podSandbox(kind RuntimeKind) *runtimeapi.PodSandbox {
	return &runtimeapi.PodSandbox{
		Id: c.ID, Metadata: c.podMetadata(), State: c.ready(kind), CreatedAt: c.Created.UnixNano(),
		Labels: c.labels(kind), Annotations: c.Pod.Annotations, RuntimeHandler: c.handler(kind),
	}
}

func (c record) podSandboxStatus(kind RuntimeKind, verbose bool) (*runtimeapi.PodSandboxStatusResponse, error) {
	options := &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER}
	if c.hostNetwork() {
		options.Network = runtimeapi.NamespaceMode_NODE
	}
	answer := &runtimeapi.PodSandboxStatusResponse{Status: &runtimeapi.PodSandboxStatus{
		Id: c.ID, Metadata: c.podMetadata(), State: c.ready(kind), CreatedAt: c.Created.UnixNano(),
		Network: &runtimeapi.PodSandboxNetworkStatus{},
		Linux:   &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{Options: options}},
		Labels:  c.labels(kind), Annotations: c.Pod.Annotations, RuntimeHandler: c.handlerStatus(kind),
	}}
	if c.netns != nil && c.netns.IP.IsValid() && !c.hostNetwork() {
		answer.Status.Network.Ip = c.netns.IP.String()
	}
	if !verbose || kind == CRIDockerd { // which has nothing to add
		return answer, nil
	}
	var err error
	answer.Info, err = shape(c.sandboxInfo(kind))
	return answer, err
}

func (c record) criContainer(kind RuntimeKind) *runtimeapi.Container {
	_, attempt := c.attempt()
	return &runtimeapi.Container{
		Id: c.ID, PodSandboxId: c.Join.ID, Metadata: &runtimeapi.ContainerMetadata{Name: c.spec.Name, Attempt: attempt},
		// The kubelet asks for an image by its ID.
		Image: &runtimeapi.ImageSpec{Image: c.imageID()}, ImageRef: c.imageID(), State: c.criState(), CreatedAt: c.Created.UnixNano(),
		Labels: c.labels(kind), Annotations: c.annotations(),
	}
}

func (c record) attempt() (string, uint32) {
	count := strconv.Itoa(c.spec.Restarts)
	return count, uint32(c.spec.Restarts)
}

func (c record) annotations() map[string]string {
	count, _ := c.attempt()
	return map[string]string{"io.kubernetes.container.restartCount": count, "io.kubernetes.container.terminationMessagePath": "/dev/termination-log"}
}

// failed: it was created and could not be started.
func (c record) failed() bool { return c.status.State == Created && c.spec.Error != "" }

func (c record) criState() runtimeapi.ContainerState {
	switch {
	case c.status.State == Running:
		return runtimeapi.ContainerState_CONTAINER_RUNNING
	case c.status.State == Exited || c.failed():
		return runtimeapi.ContainerState_CONTAINER_EXITED
	}
	return runtimeapi.ContainerState_CONTAINER_CREATED
}

func (c record) containerStatus(kind RuntimeKind, verbose bool) (*runtimeapi.ContainerStatusResponse, error) {
	listed := c.criContainer(kind)
	s := &runtimeapi.ContainerStatus{
		Id: c.ID, Metadata: listed.Metadata, State: listed.State, CreatedAt: listed.CreatedAt,
		StartedAt: nanoseconds(c.status.StartedAt), FinishedAt: nanoseconds(c.status.FinishedAt),
		ExitCode: int32(c.status.ExitCode), Image: &runtimeapi.ImageSpec{Image: c.Image}, ImageRef: listed.ImageRef,
		Labels: listed.Labels, Annotations: listed.Annotations,
	}
	switch {
	case c.failed():
		s.ExitCode, s.Reason, s.Message = 128, "StartError", c.spec.Error
	case c.status.State == Exited && c.status.ExitCode == 0:
		s.Reason = "Completed"
	case c.status.State == Exited:
		s.Reason = "Error"
	}
	answer := &runtimeapi.ContainerStatusResponse{Status: s}
	if !verbose {
		return answer, nil
	}
	var err error
	answer.Info, err = shape(c.containerInfo(kind))
	return answer, err
}

func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func shape(info map[string]any) (map[string]string, error) {
	text, err := json.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("info: %w", err)
	}
	return map[string]string{"info": string(text)}, nil
}

// sandboxInfo has the fields of
//   - containerd, pkg/cri/server/sandbox_status.go of 1.6 and 1.7, and
//     internal/cri/server/podsandbox/types/sandbox_info.go of 2.1, and as 2.2 says,
//     resolve/testdata/cri, and
//   - CRI-O 1.37, server/sandbox_status.go; what it has told of real ones lies in
//     resolve/testdata/cri.
func (c record) sandboxInfo(kind RuntimeKind) map[string]any {
	spec := c.runtimeSpec(kind, c.pinned())
	switch kind {
	case CRIO:
		return map[string]any{"runtimeSpec": spec}
	case CRIOPause:
		return map[string]any{"image": "registry.k8s.io/pause:3.10", "pid": c.status.PID, "runtimeSpec": spec}
	case CRIOKata:
		return map[string]any{"image": "registry.k8s.io/pause:3.10", "pid": c.vmm, "runtimeSpec": spec}
	}
	info := c.containerdInfo(kind, spec)
	info["processStatus"] = "running"
	if c.status.State != Running {
		info["processStatus"] = "deleted"
	}
	info["netNamespaceClosed"] = c.pinned() == "" && !c.hostNetwork()
	info["image"] = "registry.k8s.io/pause:3.10"
	info["cniResult"] = map[string]any{"Interfaces": map[string]any{"eth0": map[string]any{"IPConfigs": []any{}, "Mac": "", "Sandbox": c.pinned()}}, "DNS": []any{}, "Routes": nil}
	switch kind {
	case Containerd16, Containerd17, Kata, KataRust:
		info["runtimeHandler"] = c.handler(kind)
	case Containerd2:
		info["runtimeOptions"] = nil
		info["sandboxMetadata"] = map[string]any{"Version": "v1", "Metadata": map[string]any{
			"ID": c.ID, "Name": c.Name, "NetNSPath": c.pinned(), "RuntimeHandler": "", "ProcessLabel": "",
		}}
	}
	return info
}

// containerInfo has the fields of containerd's container_status.go, of CRI-O's,
// and of cri-dockerd's core/convert.go.
func (c record) containerInfo(kind RuntimeKind) map[string]any {
	switch kind {
	case CRIDockerd:
		return map[string]any{"sandboxID": c.Join.ID, "pid": c.status.PID}
	case CRIO, CRIOPause, CRIOKata:
		// It keeps the number of a process that has ended.
		pid := c.last
		if c.vmm != 0 {
			pid = c.vmm
		}
		return map[string]any{"sandboxID": c.Join.ID, "pid": pid, "runtimeSpec": c.runtimeSpec(kind, c.pinned()), "privileged": false}
	}
	network := ""
	if sandbox := c.Join.PID(); sandbox != 0 {
		network = fmt.Sprintf("/proc/%d/ns/net", sandbox)
	}
	info := c.containerdInfo(kind, c.runtimeSpec(kind, network))
	info["sandboxID"], info["removing"] = c.Join.ID, false
	return info
}

func (c record) containerdInfo(kind RuntimeKind, spec map[string]any) map[string]any {
	info := map[string]any{
		"pid": c.status.PID, "snapshotKey": c.ID, "snapshotter": "overlayfs", "runtimeType": "io.containerd.runc.v2",
		"runtimeOptions": map[string]any{"systemd_cgroup": true}, "config": map[string]any{"labels": c.labels(kind)}, "runtimeSpec": spec,
	}
	if kind.isKata() {
		info["runtimeType"], info["pid"] = "io.containerd.kata.v2", c.vmm
	}
	return info
}

// pinned is where the sandbox's network is, "" for a pod in the host's.
func (c record) pinned() string {
	if c.netns == nil || c.hostNetwork() {
		return ""
	}
	// As CNI plugins are told it; /var/run is a link to /run.
	return filepath.Clean(c.netns.Path)
}

// runtimeSpec is the part of config.json that says something of networks and
// files.
func (c record) runtimeSpec(kind RuntimeKind, network string) map[string]any {
	namespaces := []map[string]any{{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}}
	if !c.hostNetwork() {
		entry := map[string]any{"type": "network"}
		if network != "" {
			entry["path"] = network
		}
		namespaces = append(namespaces, entry)
	}
	mounts := []map[string]any{{"destination": "/proc", "type": "proc", "source": "proc", "options": []string{"nosuid"}}}
	bind := func(destination, source string) {
		if source != "" {
			mounts = append(mounts, map[string]any{"destination": destination, "type": "bind", "source": source, "options": []string{"rbind", "rprivate", "rw"}})
		}
	}
	bind("/etc/resolv.conf", c.ResolvConf)
	if c.Join != nil {
		bind("/etc/hosts", c.Hosts) // the kubelet's, of containers only
	}
	annotations := c.specAnnotations(kind)
	maps.Copy(annotations, c.Pod.Annotations)
	return map[string]any{
		"ociVersion": "1.1.0", "hostname": c.Hostname, "annotations": annotations, "mounts": mounts,
		"process": map[string]any{"args": c.spec.Args, "cwd": "/", "user": map[string]any{"uid": 0, "gid": 0}},
		"root":    map[string]any{"path": "rootfs", "readonly": true},
		"linux":   map[string]any{"namespaces": namespaces, "cgroupsPath": "kubepods-besteffort.slice:cri-containerd:" + c.ID, "resources": map[string]any{}},
	}
}

// specAnnotations are those that the runtime adds by itself. CRI-O says nowhere
// else which handler runs the pod.
func (c record) specAnnotations(kind RuntimeKind) map[string]string {
	role, sandbox := "sandbox", c.ID
	if c.Join != nil {
		role, sandbox = "container", c.Join.ID
	}
	if !kind.isCRIO() {
		return map[string]string{"io.kubernetes.cri.container-type": role, "io.kubernetes.cri.sandbox-id": sandbox}
	}
	const prefix = "io.kubernetes.cri-o."
	annotations := map[string]string{prefix + "ContainerType": role, prefix + "SandboxID": sandbox, prefix + "ContainerID": c.ID}
	if c.Join == nil {
		annotations[prefix+"RuntimeHandler"] = ""
	}
	switch {
	case kind == CRIO && c.Join == nil:
		annotations[prefix+"Spoofed"] = "true"
	case kind == CRIOKata && c.Join == nil:
		annotations[prefix+"RuntimeHandler"] = "kata"
	}
	return annotations
}

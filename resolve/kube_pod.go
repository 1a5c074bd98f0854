package resolve

import (
	"cmp"
	"net/netip"
	"strings"
	"time"
)

// Annotations of the kubelet on the pictures of static pods.
const (
	annotationHash   = "kubernetes.io/config.hash"
	annotationMirror = "kubernetes.io/config.mirror"
)

const (
	maxConditions = 10
	maxServices   = 20
	// maxPodAddresses: two families, and what a CNI adds.
	maxPodAddresses = 10
	// maxPodText bounds a message of the API: one of a CNI plugin says what is
	// wrong at its end.
	maxPodText = 600
)

// fromPod takes what the API says of a pod; false where that cannot be one.
func fromPod(p *kubePod) (Workload, bool) {
	for _, s := range []string{p.Metadata.Name, p.Metadata.Namespace, cmp.Or(p.Spec.NodeName, "none"), cmp.Or(p.Metadata.UID, "none")} {
		if checkName("", s, "") != nil {
			return Workload{}, false
		}
	}
	w := Workload{
		Source: "kubernetes", Pod: p.Metadata.Name, Namespace: p.Metadata.Namespace, UID: p.Metadata.UID, Node: p.Spec.NodeName,
		HostNetwork: p.Spec.HostNetwork, DefaultContainer: defaultContainer(p), Containers: containersOf(p), Status: statusOf(p),
	}
	if w.Status.Static {
		// The runtime knows it by the kubelet's own UID, not by that of the picture:
		// the one that its file gives, as OpenShift's do, else a hash.
		if uid := p.Metadata.Annotations[annotationHash]; uid != "" && uidAt(uid) == uid {
			w.UID = uid
		}
	}
	return w, true
}

// defaultContainer is the one that kubectl takes.
func defaultContainer(p *kubePod) string {
	name := p.Metadata.Annotations[annotationDefault]
	for i := range p.Spec.Containers {
		if p.Spec.Containers[i].Name == name {
			return text(name)
		}
	}
	if len(p.Spec.Containers) > 0 {
		return text(p.Spec.Containers[0].Name)
	}
	return ""
}

// statusOf sums up the pod as a whole.
func statusOf(p *kubePod) *PodStatus {
	s := &PodStatus{
		Phase: reasonWord(p.Status.Phase), Reason: reasonWord(p.Status.Reason), Message: textUpTo(p.Status.Message, maxPodText),
		Created: p.Metadata.CreationTimestamp, Owner: ownersOf(p), Static: p.Metadata.Annotations[annotationMirror] != "",
		ShareProcesses: p.Spec.ShareProcessNamespace, DNSPolicy: reasonWord(p.Spec.DNSPolicy),
	}
	if p.Metadata.DeletionTimestamp != nil {
		s.Deleted = *p.Metadata.DeletionTimestamp
	}
	for i := range p.Status.Conditions {
		c := &p.Status.Conditions[i]
		if c.Type == "Ready" {
			s.Ready = c.Status == "True"
		}
		if (c.Status == "True") != (c.Type == "DisruptionTarget") || len(s.Conditions) == maxConditions {
			continue
		}
		s.Conditions = append(s.Conditions, Condition{
			Type: reasonWord(c.Type), Status: reasonWord(c.Status), Reason: reasonWord(c.Reason), Since: c.LastTransitionTime,
		})
		if c.Type == "PodScheduled" && s.Reason == "" {
			s.Reason, s.Message = reasonWord(c.Reason), textUpTo(c.Message, maxPodText)
		}
	}
	for _, ip := range p.Status.PodIPs {
		s.PodIPs = addAddress(s.PodIPs, ip.IP)
	}
	for _, ip := range p.Status.HostIPs {
		s.HostIPs = addAddress(s.HostIPs, ip.IP)
	}
	// Before 1.20, and 1.29, there was one only.
	s.PodIPs, s.HostIPs = addAddress(s.PodIPs, p.Status.PodIP), addAddress(s.HostIPs, p.Status.HostIP)
	return s
}

// addAddress adds an address that is one, once.
func addAddress(list []string, s string) []string {
	ip, err := netip.ParseAddr(s)
	if err != nil || len(list) == maxPodAddresses {
		return list
	}
	s = ip.Unmap().String()
	for _, have := range list {
		if have == s {
			return list
		}
	}
	return append(list, s)
}

// ownersOf is the chain of controllers, as far as the pod itself tells it. The
// controller of Deployments names its ReplicaSets NAME-HASH, and labels their
// pods with the hash.
func ownersOf(p *kubePod) []Owner {
	ref := p.Metadata.controller()
	if ref == nil || checkName("", ref.Name, "") != nil || reasonWord(ref.Kind) == "" {
		return nil
	}
	owners := []Owner{{Kind: ref.Kind, Name: ref.Name}}
	hash := p.Metadata.Labels["pod-template-hash"]
	if name, ok := strings.CutSuffix(ref.Name, "-"+hash); ok && hash != "" && name != "" && ref.Kind == "ReplicaSet" {
		owners = append(owners, Owner{Kind: "Deployment", Name: name})
	}
	return owners
}

// containersOf lists a pod's containers: those of the application, its
// sidecars, the init and the ephemeral ones.
func containersOf(p *kubePod) []Container {
	var app, sidecars, inits, ephemeral []Container
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		app = append(app, oneContainer(c.Name, c.Image, "", p.Status.ContainerStatuses))
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.RestartPolicy == "Always" {
			sidecars = append(sidecars, oneContainer(c.Name, c.Image, KindSidecar, p.Status.InitContainerStatuses))
		} else {
			inits = append(inits, oneContainer(c.Name, c.Image, KindInit, p.Status.InitContainerStatuses))
		}
	}
	for i := range p.Spec.EphemeralContainers {
		c := &p.Spec.EphemeralContainers[i]
		ephemeral = append(ephemeral, oneContainer(c.Name, c.Image, KindEphemeral, p.Status.EphemeralContainerStatuses))
	}
	all := append(append(append(app, sidecars...), inits...), ephemeral...)
	return all[:min(len(all), maxInspects)]
}

// oneContainer takes what the API says of one container.
func oneContainer(name, image string, kind ContainerKind, all []kubeContainerStatus) Container {
	c := Container{Name: text(name), Image: text(image), Kind: kind}
	if checkName("", name, "") != nil {
		c.Name = ""
	}
	for i := range all {
		if all[i].Name == name {
			c.take(&all[i])
		}
	}
	return c
}

// take adds the status of the container.
func (c *Container) take(s *kubeContainerStatus) {
	if _, id, ok := strings.Cut(s.ContainerID, "://"); ok && checkName("", id, "") == nil {
		c.ID = id
	}
	c.Restarts, c.Ready = s.RestartCount, &s.Ready
	if t := s.LastState.Terminated; t != nil {
		c.ended(t)
	}
	switch {
	case s.State.Running != nil:
		c.State, c.StartedAt, c.Reason, c.Message = StateRunning, s.State.Running.StartedAt, "", ""
	case s.State.Terminated != nil:
		c.State = StateExited
		c.ended(s.State.Terminated)
	case s.State.Waiting != nil:
		c.State, c.Waiting = StateWaiting, reasonWord(s.State.Waiting.Reason)
		if c.Waiting == reasonCrashLoop {
			c.State = StateRestarting
		}
		if said := text(s.State.Waiting.Message); said != "" {
			c.Message = said
		}
	}
}

// ended takes how a run ended.
func (c *Container) ended(t *kubeTerminated) {
	code := t.ExitCode
	c.ExitCode, c.Reason, c.Message = &code, reasonWord(t.Reason), text(t.Message)
	c.StartedAt, c.FinishedAt = t.StartedAt, t.FinishedAt
}

// selects reports whether a selector of a service fits labels; an empty one fits
// none.
func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if got, ok := labels[key]; !ok || got != value {
			return false
		}
	}
	return len(selector) > 0
}

// lastSeen is the time at which an event was last seen.
func (e *kubeEvent) lastSeen() time.Time {
	last := e.LastTimestamp
	if e.Series != nil && e.Series.LastObservedTime.After(last) {
		last = e.Series.LastObservedTime
	}
	if e.EventTime.After(last) {
		last = e.EventTime
	}
	return last
}

package resolve

import "time"

// PodStatus is what only the Kubernetes API knows of a pod.
type PodStatus struct {
	// Phase is Pending, Running, Succeeded, Failed or Unknown.
	Phase string `json:"phase,omitempty"`
	// Reason is one word on the pod as a whole: Evicted, Unschedulable,
	// FailedCreatePodSandBox.
	Reason string `json:"reason,omitempty"`
	// Message goes with Reason. It may quote anything; at most 600 bytes.
	Message string `json:"message,omitempty"`
	Ready   bool   `json:"ready"`
	// Conditions are at most 10, those that are not as they should be.
	Conditions []Condition `json:"conditions,omitempty"`
	// Node is the condition Ready of the pod's node where that is not True: Unknown is
	// a kubelet that does not report any more. Nil is well, or not known.
	Node *Condition `json:"node,omitempty"`
	// Owner is the chain of what controls the pod, the nearest first: ReplicaSet
	// web-7d4b9, Deployment web.
	Owner []Owner `json:"owner,omitempty"`
	// Services select the pod; at most 20. Nil is not known.
	Services []string `json:"services,omitempty"`
	PodIPs   []string `json:"pod_ips,omitempty"`
	HostIPs  []string `json:"host_ips,omitempty"`
	// Created is when the API was given the pod.
	Created time.Time `json:"created,omitzero"`
	// Deleted is when the pod is to be gone for good; zero where nobody has asked
	// for that.
	Deleted time.Time `json:"deleted,omitzero"`
	// Static says that the kubelet has it from a file, and the API only a picture.
	Static bool `json:"static,omitempty"`
	// DNSPolicy is that of its spec: ClusterFirst, Default.
	DNSPolicy string `json:"-"`
	// ShareProcesses says that its containers see each other's processes.
	ShareProcesses bool `json:"share_processes,omitempty"`
}

// Condition is one condition of a pod.
type Condition struct {
	Type   string    `json:"type"`
	Status string    `json:"status"` // True, False or Unknown
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

// Owner is a workload resource that controls a pod.
type Owner struct {
	Kind string `json:"kind"` // as the API writes it: ReplicaSet
	Name string `json:"name"`
}

// The phases of a pod.
const (
	phasePending   = "Pending"
	phaseRunning   = "Running"
	phaseSucceeded = "Succeeded"
	phaseFailed    = "Failed"
)

// ended reports whether the pod is over for good: nothing of it runs, and
// nothing will.
func (s *PodStatus) ended() bool {
	return s.Phase == phaseSucceeded || s.Phase == phaseFailed
}

// condition returns the condition of that type where it is not as it should be.
func (s *PodStatus) condition(kind string) (Condition, bool) {
	for _, c := range s.Conditions {
		if c.Type == kind {
			return c, true
		}
	}
	return Condition{}, false
}

package resolve

import "time"

// State is what a container is doing, in the words of the Docker engine, to
// which other runtimes' states are mapped.
type State string

// The states; "" is not known.
const (
	StateCreated    State = "created"
	StateRunning    State = "running"
	StatePaused     State = "paused" // frozen: its processes exist, so its network does
	StateRestarting State = "restarting"
	StateRemoving   State = "removing"
	StateExited     State = "exited"
	StateDead       State = "dead"
	// StateWaiting is a pod's container that the kubelet has not made yet, see
	// [Container.Waiting].
	StateWaiting State = "waiting"
)

var states = [...]State{StateCreated, StateRunning, StatePaused, StateRestarting, StateRemoving, StateExited, StateDead, StateWaiting}

// Alive reports whether a container in this state has processes.
func (s State) Alive() bool { return s == StateRunning || s == StatePaused }

// Words is the state as it stands behind a name: "has exited".
func (s State) Words() string {
	switch s {
	case "":
		return "does not run"
	case StateExited:
		return "has exited"
	case StateRemoving:
		return "is being removed"
	case StateCreated:
		return "was created, but never started"
	}
	return "is " + string(s)
}

// Workload is one pod, or one container that belongs to no pod, as a [Source]
// knows it. Zero fields are not known.
type Workload struct {
	// Source is the name of the source that knows it.
	Source string `json:"source"`
	// Pod, Namespace and UID are "" for a container without a pod.
	Pod       string `json:"pod,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	UID       string `json:"uid,omitempty"`
	// Node is where the pod runs; "" for sources that see one node only.
	Node string `json:"node,omitempty"`
	// HostNetwork says that it was started in the host's network.
	HostNetwork bool `json:"host_network,omitempty"`
	// Sandbox owns the network: the pause container of a pod, or the container
	// whose network another one has joined. Nil where a container has its own.
	Sandbox *Sandbox `json:"sandbox,omitempty"`
	// Attempts are older sandboxes of the same pod, newest first.
	Attempts []Sandbox `json:"attempts,omitempty"`
	// Containers are those of the pod, each in its latest attempt; or the one
	// container that this is.
	Containers []Container `json:"containers"`
	// DefaultContainer is the annotation kubectl.kubernetes.io/default-container,
	// or as for kubectl, the first container of the pod's spec.
	DefaultContainer string `json:"default_container,omitempty"`
	// Status is what the Kubernetes API says of the pod; nil where it was not
	// asked or does not know it.
	Status *PodStatus `json:"status,omitempty"`

	// asOf is when the source was asked, in nanoseconds of CLOCK_BOOTTIME. A
	// process that has started since may not be the one it meant; 0 is not known.
	asOf int64
	// elsewhere: the source may describe another machine, so that PIDs and paths
	// count only where the process's cgroup confirms them.
	elsewhere bool
	// inferred: put together from files and processes, so a container may be
	// missing, or long gone for who knows better.
	inferred bool
	// remote: only a source of the cluster knows it, so that nothing of it need be
	// on this node.
	remote bool
}

// Sandbox is what owns a network.
type Sandbox struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"` // the runtime's name for it
	// PID is 0 where there is no process: not running, or a runtime that keeps
	// the network without one.
	PID     int       `json:"pid,omitempty"`
	State   State     `json:"state,omitempty"`
	Attempt int       `json:"attempt"`
	Created time.Time `json:"created,omitzero"`
	// NetnsPath is where the runtime has pinned the network namespace, a path of
	// the host.
	NetnsPath string `json:"netns_path,omitempty"`
	// Runtime is the low-level runtime: "runc", "kata".
	Runtime string `json:"runtime,omitempty"`

	started   time.Time
	hostFiles map[string]string
	// guess says, where nobody told, why this is taken for the sandbox.
	guess string
	// netnsClosed: the runtime says that it has taken the network down, so that
	// only processes may still hold it.
	netnsClosed bool
}

// ContainerKind is what a container is for in its pod.
type ContainerKind string

// The kinds; a sidecar is an init container that goes on running.
const (
	KindInit      ContainerKind = "init"
	KindSidecar   ContainerKind = "sidecar"
	KindEphemeral ContainerKind = "ephemeral"
)

// crashLately is how long a container that was restarted is not taken for one that
// runs: the kubelet waits up to 5 minutes between two starts, and the Docker engine,
// which waits up to one, starts at once what has run for 10 s
// (moby, daemon/internal/restartmanager).
const crashLately = 5 * time.Minute

// Done reports whether the container has ended as it should: with code 0, as init
// containers do, or as one that somebody has added to look around.
func (c *Container) Done() bool {
	return c.State == StateExited && (c.Kind == KindEphemeral || c.ExitCode != nil && *c.ExitCode == 0)
}

// CrashedLately reports whether a container that runs was restarted because it had
// ended a short while before now.
func (c *Container) CrashedLately(now time.Time) bool {
	ended := c.FinishedAt
	fill(&ended, c.tookOver)
	since := now.Sub(ended)
	return c.State.Alive() && c.Restarts > 0 && !ended.IsZero() && since >= 0 && since < crashLately
}

// follows makes c the one that took the place of an older attempt of its name. Lists
// do not say when that ended: no later than c was made.
func (c *Container) follows(older *Container) {
	if !c.State.Alive() || older.State.Alive() {
		return
	}
	fill(&c.FinishedAt, older.FinishedAt)
	c.tookOver = c.Created
}

// Container is one container.
type Container struct {
	ID string `json:"id"`
	// Name is the name in the pod, or the runtime's name for a container without
	// a pod.
	Name string `json:"name"`
	// RuntimeName is the runtime's own name where it differs from Name.
	RuntimeName string `json:"runtime_name,omitempty"`
	Image       string `json:"image,omitempty"`
	State       State  `json:"state,omitempty"`
	// Kind is "" for a container of the application.
	Kind ContainerKind `json:"kind,omitempty"`
	// Reason is one word on a container that does not run: Completed, Error,
	// OOMKilled.
	Reason string `json:"reason,omitempty"`
	// Waiting is the kubelet's word for why it does not start the container now:
	// CrashLoopBackOff, ImagePullBackOff, ContainerCreating.
	Waiting string `json:"waiting,omitempty"`
	// Ready is the outcome of the readiness probe; nil is not known.
	Ready *bool `json:"ready,omitempty"`
	// Unhealthy is the outcome of a Docker health check that fails.
	Unhealthy bool `json:"unhealthy,omitempty"`
	// Message is what the runtime said of a failed start; at most 200 bytes.
	Message    string    `json:"message,omitempty"`
	ExitCode   *int      `json:"exit_code,omitempty"` // of the last run that ended
	Restarts   int       `json:"restarts"`
	PID        int       `json:"pid,omitempty"`
	Created    time.Time `json:"created,omitzero"`
	StartedAt  time.Time `json:"started_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	NetnsPath  string    `json:"netns_path,omitempty"`
	Runtime    string    `json:"runtime,omitempty"`

	// tookOver is when it was made in place of one that had ended; zero for none.
	tookOver time.Time
	// hostFiles are files that the runtime mounts into the container: path in the
	// container to path on the host. They can be read without any process.
	hostFiles map[string]string
}

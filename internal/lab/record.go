package lab

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	mounttypes "github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-units"
)

// record is one container as the engine has it at one moment. It must not be
// changed: synthetic ones are shared between requests.
type record struct {
	*Container
	status Status
	netns  *Netns
	last   int // PID of its latest process, alive or not
	vmm    int // PID that a runtime of virtual machines names instead, see [Runtime.VMM]
}

// record takes both under one lock: what runs has a network.
func (c *Container) record() record {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := record{Container: c, status: c.status(), netns: c.netns}
	if c.proc != nil {
		r.last = c.proc.pid
	}
	return r
}

// syntheticPod makes the two records of a pod without processes.
func syntheticPod(i int) []record {
	const pidMax = 1 << 22
	p := &Pod{Name: fmt.Sprintf("synthetic-%d", i), Namespace: "synthetic", UID: randomUUID()}
	var records []record
	for _, kind := range []string{"podsandbox", "container"} {
		c := newContainer(ContainerSpec{Name: "POD"})
		if kind == "container" {
			c = newContainer(ContainerSpec{})
		}
		c.Pod, c.Hostname = p, p.Name
		if kind == "container" {
			c.Join = p.Sandbox
		} else {
			p.Sandbox = c
		}
		c.name(kind, 0)
		status := Status{State: Running, PID: pidMax + 2*i + len(records), StartedAt: c.Created}
		records = append(records, record{Container: c, status: status})
	}
	return records
}

func (c record) matches(args filters.Args) bool {
	return args.MatchKVList("label", c.Labels) &&
		args.Match("name", "/"+c.Name) &&
		args.Match("id", c.ID) &&
		(!args.Contains("status") || args.ExactMatch("status", string(c.status.State)))
}

func (c record) summary() container.Summary {
	s := container.Summary{
		ID: c.ID, Names: []string{"/" + c.Name}, Image: c.Image, ImageID: c.imageID(),
		Command: strings.Join(c.spec.Args, " "), Created: c.Created.Unix(),
		Labels: c.Labels, State: string(c.status.State), Status: c.statusText(),
		Mounts:          c.mounts(),
		NetworkSettings: &container.NetworkSettingsSummary{Networks: c.networks()},
	}
	s.HostConfig.NetworkMode = c.networkMode()
	return s
}

func (c record) inspect() container.InspectResponse {
	settings := &container.NetworkSettings{Networks: c.networks()}
	if c.status.State == Running && c.Join == nil && c.netns != nil {
		settings.SandboxKey = c.netns.Path
		if c.netns.Style == HostNetwork {
			settings.SandboxKey = "/var/run/docker/netns/default"
		}
	}
	return container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			ID: c.ID, Name: "/" + c.Name, Image: c.imageID(),
			Created: c.Created.UTC().Format(time.RFC3339Nano),
			Path:    c.spec.Args[0], Args: c.spec.Args[1:],
			State:          c.state(),
			ResolvConfPath: c.ResolvConf, HostsPath: c.Hosts,
			RestartCount: c.restartCount(), Driver: "overlay2", Platform: "linux",
			HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(c.networkMode())},
		},
		Mounts:          c.mounts(),
		Config:          &container.Config{Hostname: c.configHostname(), Image: c.Image, Labels: c.Labels, Env: c.spec.Env, Cmd: c.spec.Args},
		NetworkSettings: settings,
	}
}

func (c record) state() *container.State {
	return &container.State{
		Status: string(c.status.State), Running: c.status.State == Running,
		Pid: c.status.PID, ExitCode: c.status.ExitCode, Error: c.spec.Error,
		StartedAt: stamp(c.status.StartedAt), FinishedAt: stamp(c.status.FinishedAt),
	}
}

// stamp writes a time as the engine does, "0001-01-01T00:00:00Z" for never.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (c record) statusText() string {
	switch c.status.State {
	case Running:
		return "Up " + units.HumanDuration(time.Since(c.status.StartedAt))
	case Exited:
		return fmt.Sprintf("Exited (%d) %s ago", c.status.ExitCode, units.HumanDuration(time.Since(c.status.FinishedAt)))
	}
	return "Created"
}

// imageID is made from the container's own ID: there are no images.
func (c record) imageID() string { return "sha256:" + c.ID }

// restartCount is the engine's own. The kubelet does not use it: it makes a new
// container each time, whose name and annotation carry the number.
func (c record) restartCount() int {
	if c.Pod != nil {
		return 0
	}
	return c.status.Restarts
}

func (c record) networkMode() string {
	switch {
	case c.Join != nil:
		return "container:" + c.Join.ID
	case c.netns != nil && c.netns.Style == HostNetwork, c.spec.Style == HostNetwork:
		return "host"
	case c.Pod != nil, c.spec.Style == Plain:
		return "none"
	}
	return "bridge"
}

// networks has the address only where Docker itself gave it: those of pods come
// from CNI.
func (c record) networks() map[string]*network.EndpointSettings {
	if c.Join != nil {
		return map[string]*network.EndpointSettings{}
	}
	s := &network.EndpointSettings{}
	if c.Pod == nil && c.status.State == Running && c.netns.Style != HostNetwork && c.netns.IP.IsValid() {
		s.IPAddress, s.IPPrefixLen = c.netns.IP.String(), c.netns.Bits
		if c.netns.IP6.IsValid() {
			s.GlobalIPv6Address, s.GlobalIPv6PrefixLen = c.netns.IP6.String(), c.netns.Bits6
		}
	}
	return map[string]*network.EndpointSettings{c.networkMode(): s}
}

// configHostname is empty for a container that has no hostname of its own.
func (c record) configHostname() string {
	if c.Join != nil {
		return ""
	}
	return c.Hostname
}

// mounts are those that the kubelet asks for; etc/resolv.conf is not among
// them, the engine mounts that by itself.
func (c record) mounts() []container.MountPoint {
	if c.Pod == nil || c.Join == nil || c.Hosts == "" {
		return []container.MountPoint{}
	}
	return []container.MountPoint{{Type: mounttypes.TypeBind, Source: c.Hosts, Destination: "/etc/hosts", RW: true, Propagation: mounttypes.PropagationRPrivate}}
}

package resolve

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
)

// fromSummary takes what the list of containers says.
func fromSummary(s *container.Summary) dockerContainer {
	c := dockerContainer{
		Container: Container{ID: s.ID, Image: text(s.Image), State: State(s.State), Created: time.Unix(s.Created, 0)},
		labels:    s.Labels,
		network:   s.HostConfig.NetworkMode,
	}
	// Links give a container further names, with a slash inside.
	for _, name := range s.Names {
		if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
			c.Name = text(name)
		}
	}
	c.ExitCode = exitCodeIn(s.Status)
	c.Unhealthy = c.State.Alive() && strings.HasSuffix(s.Status, "(unhealthy)")
	c.Reason = exitReason(&c.Container, false)
	c.restless = c.State == StateRestarting || c.State == StateRunning && startedLately(s.Status)
	return c
}

// fromInspect takes what the details of a container say; false where they are
// none.
func fromInspect(j *container.InspectResponse) (dockerContainer, bool) {
	if j.ContainerJSONBase == nil || j.State == nil || len(j.ID) < minIDPrefix {
		return dockerContainer{}, false
	}
	c := dockerContainer{
		Container: Container{
			ID: j.ID, Name: text(strings.TrimPrefix(j.Name, "/")), State: State(j.State.Status),
			PID: j.State.Pid, Restarts: j.RestartCount, Message: text(j.State.Error),
			Created: parseTime(j.Created), StartedAt: parseTime(j.State.StartedAt), FinishedAt: parseTime(j.State.FinishedAt),
		},
	}
	if !c.State.Alive() {
		c.PID = 0
	}
	if c.State == StateExited || c.State == StateDead || c.State == StateRestarting {
		code := j.State.ExitCode
		c.ExitCode = &code
	}
	c.Reason = exitReason(&c.Container, j.State.OOMKilled)
	c.Unhealthy = c.State.Alive() && j.State.Health != nil && j.State.Health.Status == container.Unhealthy
	if j.Config != nil {
		c.Image, c.labels = text(j.Config.Image), j.Config.Labels
	}
	if j.HostConfig != nil {
		c.network, c.Runtime = string(j.HostConfig.NetworkMode), text(j.HostConfig.Runtime)
	}
	if j.NetworkSettings != nil {
		c.NetnsPath = j.NetworkSettings.SandboxKey
	}
	c.hostFiles = hostFilesOf(j)
	return c, true
}

// hostFilesOf says where the files lie that the engine mounts into the
// container, or the kubelet in their place.
func hostFilesOf(j *container.InspectResponse) map[string]string {
	files := map[string]string{
		"/etc/resolv.conf": j.ResolvConfPath,
		"/etc/hosts":       j.HostsPath,
		"/etc/hostname":    j.HostnamePath,
	}
	for _, m := range j.Mounts {
		if _, ours := files[m.Destination]; ours && m.Source != "" {
			files[m.Destination] = m.Source
		}
	}
	for name, path := range files {
		if !filepath.IsAbs(path) {
			delete(files, name)
		}
	}
	return files
}

// parseTime reads the engine's times; zero for what is none, as the engine's
// own "0001-01-01T00:00:00Z".
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

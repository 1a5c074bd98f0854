package resolve

import (
	"context"
	"fmt"
	"net/http"
	"slices"
)

// NewPodman returns a source for podman's service, which speaks the API of a Docker
// engine on a socket of its own. What answers on Docker's socket may be podman too
// (package podman-docker).
func NewPodman(root string) *Docker {
	d := NewDocker(DockerOptions{Root: root})
	d.name, d.env, d.places = "podman", "", []string{"/run/podman/podman.sock"}
	return d
}

// libpodPod is one pod as podman lists it (podman-system-service(1), GET
// /libpod/pods/json). The infra container keeps the network of the others.
type libpodPod struct {
	ID         string `json:"Id"`
	Name       string
	InfraID    string `json:"InfraId"`
	Containers []struct {
		ID string `json:"Id"`
	}
}

// servesPodman asks whether podman answers on a socket: its pings say so.
func servesPodman(ctx context.Context, socket *http.Client) (bool, error) {
	response, err := libpod(ctx, socket, http.MethodHead, "/_ping")
	if err != nil {
		return false, err
	}
	return response.Header.Get("Libpod-API-Version") != "", response.Body.Close()
}

func libpod(ctx context.Context, socket *http.Client, method, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://libpod"+path, nil)
	if err != nil {
		return nil, err
	}
	return socket.Do(request)
}

// libpodPods asks for podman's pods, which the API of a Docker engine lacks. Any
// other engine has none.
func (c *dockerConn) libpodPods(ctx context.Context) ([]libpodPod, error) {
	if c.podman == nil {
		return nil, nil
	}
	response, err := libpod(ctx, c.podman, http.MethodGet, "/v4.0.0/libpod/pods/json")
	if err != nil {
		return nil, dockerError(err)
	}
	defer func() { _ = response.Body.Close() }() // was only read from
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("its pods could not be listed: HTTP status %d", response.StatusCode)
	}
	var pods []libpodPod
	if err := foreignDecoder(response.Body).Decode(&pods); err != nil {
		return nil, dockerError(err)
	}
	return pods, nil
}

// joinPods tells containers in which of podman's pods they are.
func (c *dockerConn) joinPods(ctx context.Context, all []dockerContainer) error {
	pods, err := c.libpodPods(ctx)
	joinPods(pods, all)
	return err
}

// joinPods leaves out a pod without an infra container, which shares no network,
// and a container of a pod that has another network.
func joinPods(pods []libpodPod, all []dockerContainer) {
	for _, p := range pods {
		ids := p.ids()
		for i := range all {
			k := &all[i]
			switch {
			case k.ID == p.InfraID:
				k.podman = k8sName{Container: sandboxContainer, Pod: text(p.Name), UID: p.ID}
			case p.InfraID != "" && slices.Contains(ids, k.ID) && (k.network == "" || k.network == "container:"+p.InfraID):
				k.podman = k8sName{Container: k.Name, Pod: text(p.Name), UID: p.ID}
			}
		}
	}
}

func (p *libpodPod) ids() []string {
	ids := make([]string, 0, len(p.Containers))
	for _, k := range p.Containers {
		ids = append(ids, k.ID)
	}
	return ids
}

// podmanPod looks closely at the containers of podman's pods of that name or ID.
func (c *dockerConn) podmanPod(ctx context.Context, nameOrID string) ([]Workload, error) {
	pods, err := c.libpodPods(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, p := range pods {
		if p.Name == nameOrID || p.ID == nameOrID {
			ids = append(ids, p.ids()...)
		}
	}
	details, err := c.inspectAll(ctx, ids[:min(len(ids), maxInspects)])
	all := make([]dockerContainer, 0, len(details))
	for _, id := range ids {
		if d, ok := details[id]; ok {
			all = append(all, d)
		}
	}
	joinPods(pods, all)
	return c.workloads(all), err
}

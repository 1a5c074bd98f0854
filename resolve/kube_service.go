package resolve

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/labels"
)

// ServiceQuery says which service is meant.
type ServiceQuery struct {
	// IP is an address of the service. NodePort, where it is not 0, is the port of this
	// node that was asked instead.
	IP       netip.Addr
	NodePort int
	// Name and Namespace count where IP is not valid.
	Name, Namespace string
}

// ServiceState is a service with all that may be wrong with it. Words of others stand
// in [ServicePod.Message] alone.
type ServiceState struct {
	Service
	ClusterIP string // "" for none, as of headless ones
	Headless  bool
	// ExternalName is the name that one of that type is an alias of.
	ExternalName string
	// Selector is written as kubectl does: "app=web,tier=api"; "" selects nothing.
	Selector string
	// Missing: there is no service of that name in the namespace. Elsewhere are the
	// namespaces that have one, at most 5.
	Missing   bool
	Elsewhere []string
	// Pods are those that the selector selects, at most 20, those in trouble first.
	Pods []ServicePod
	// Labels are values that pods of the namespace have for the selector's keys, where
	// no pod is selected: "app=web". Workload is what makes pods that would be
	// selected, in words; "" for nothing that is known.
	Labels   []string
	Workload string
	// Denied says what could not be asked; "" for nothing.
	Denied string
}

// ServicePod is a pod behind a service.
type ServicePod struct {
	Name, Node string
	Addresses  []string
	Ready      bool
	// Cause is why it is not ready: crash, probe, starting, deleted or ended; "" is not
	// known. Words say more, in words of ours.
	Cause, Words string
	// Ports are those that its containers declare: "http=8080/TCP".
	Ports []string
	// Message is what the kubelet says of the trouble. It may quote anything.
	Message string
}

// The bounds of a [ServiceState].
const (
	maxServicePods   = 20
	maxServiceEvents = 3
	maxElsewhere     = 5
)

// Service tells what the cluster knows of a service; nil where it has none like that.
// The error is [ErrAbsent] where there is no API to ask.
func (r *Resolver) Service(ctx context.Context, q ServiceQuery) (*ServiceState, error) {
	return askCluster(ctx, r, func(ctx context.Context, c ClusterSource) (*ServiceState, error) { return c.Service(ctx, q) })
}

// DNSPolicy is that of a pod's spec, and whether the pod is in the host's network; "" is
// not known.
func (r *Resolver) DNSPolicy(ctx context.Context, namespace, pod string) (policy string, hostNetwork bool) {
	found, err := askCluster(ctx, r, func(ctx context.Context, c ClusterSource) ([]Workload, error) {
		return c.Exact(ctx, Query{Pod: pod, Namespace: namespace})
	})
	if err != nil || len(found) != 1 || found[0].Pod != pod || found[0].Status == nil {
		return "", false
	}
	return found[0].Status.DNSPolicy, found[0].HostNetwork
}

// Service finds the service in one list, and what is behind it in two to five more.
func (k *Kube) Service(ctx context.Context, q ServiceQuery) (*ServiceState, error) {
	return kubeAsk(ctx, k, func(c *kubeConn) (*ServiceState, error) {
		found, elsewhere, err := c.findService(ctx, q)
		switch {
		case err != nil:
			return nil, err
		case found == nil && len(elsewhere) > 0:
			return &ServiceState{Service: Service{Name: q.Name, Namespace: q.Namespace}, Missing: true, Elsewhere: elsewhere}, nil
		case found == nil:
			return nil, nil
		}
		s := found.state()
		c.behind(ctx, found, s)
		return s, nil
	})
}

// findService looks through the services, of the context's namespace alone where no
// more is allowed. elsewhere are the namespaces of others of the name.
func (c *kubeConn) findService(ctx context.Context, q ServiceQuery) (found *kubeService, elsewhere []string, err error) {
	r := kubeRequest{group: kubeCore, resource: kubeServices}
	if q.Name != "" {
		r.fields = "metadata.name=" + q.Name
	}
	take := func(s *kubeService) bool {
		switch {
		case checkName("", s.Metadata.Name, "") != nil || checkName("", s.Metadata.Namespace, "") != nil:
		case q.fits(s):
			found = s
		case q.Name != "" && q.Name == s.Metadata.Name && len(elsewhere) < maxElsewhere:
			elsewhere = append(elsewhere, s.Metadata.Namespace)
		}
		return found == nil
	}
	err = pages(ctx, c, r, take)
	if r.namespace = cmp.Or(q.Namespace, c.namespace); isForbidden(err) && r.namespace != "" {
		forbidden := err
		if err = pages(ctx, c, r, take); err == nil && found == nil {
			err = forbidden // other namespaces may have it
		}
	}
	slices.Sort(elsewhere)
	return found, elsewhere, err
}

// fits reports whether s is meant.
func (q ServiceQuery) fits(s *kubeService) bool {
	if !q.IP.IsValid() {
		return q.Name == s.Metadata.Name && q.Namespace == s.Metadata.Namespace
	}
	if s.has(q.IP) {
		return true
	}
	for _, p := range s.Spec.Ports {
		if q.NodePort != 0 && p.NodePort == q.NodePort {
			return true
		}
	}
	return false
}

// state is what the service itself says.
func (s *kubeService) state() *ServiceState {
	out := &ServiceState{Service: *s.service(), Selector: shownLabels(s.Spec.Selector)}
	if ip, err := netip.ParseAddr(s.Spec.ClusterIP); err == nil {
		out.ClusterIP = ip.String()
	}
	out.Headless = s.Spec.ClusterIP == "None"
	if out.Type == "ExternalName" {
		out.ExternalName = reasonWord(s.Spec.ExternalName)
	}
	return out
}

// shownLabels writes labels as kubectl does. What cannot be a label is left out.
func shownLabels(set map[string]string) string {
	var pairs []string
	for key, value := range set {
		if reasonWord(key) != "" && reasonWord(value) == value {
			pairs = append(pairs, key+"="+value)
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

// behind adds endpoints and pods. Each failure is welcome information, none is one of
// the whole.
func (c *kubeConn) behind(ctx context.Context, of *kubeService, s *ServiceState) {
	if s.ExternalName != "" {
		return
	}
	var wg sync.WaitGroup
	var denied [2]error
	wg.Go(func() { denied[0] = c.endpointsOf(ctx, &s.Service) })
	wg.Go(func() {
		if len(of.Spec.Selector) > 0 {
			denied[1] = c.selected(ctx, of, s)
		}
	})
	wg.Wait()
	for _, err := range denied {
		if err != nil && s.Denied == "" {
			s.Denied = err.Error()
		}
	}
}

// selected adds the pods that the service selects, or what there is instead.
func (c *kubeConn) selected(ctx context.Context, of *kubeService, s *ServiceState) error {
	r := kubeRequest{group: kubeCore, resource: kubePods, namespace: s.Namespace, labels: labels.Set(of.Spec.Selector).String()}
	pods, err := firstOf[kubePod](ctx, c, r, kubePage)
	if err != nil {
		return err
	}
	if len(pods) == 0 {
		c.unselected(ctx, of, s)
		return nil
	}
	slices.SortStableFunc(pods, func(a, b kubePod) int { return boolInt(a.isReady()) - boolInt(b.isReady()) })
	var wg sync.WaitGroup
	s.Pods = make([]ServicePod, min(len(pods), maxServicePods))
	for i := range s.Pods {
		w, ok := fromPod(&pods[i])
		if !ok {
			continue
		}
		tell := func() { s.Pods[i] = servicePod(&pods[i], &w) }
		if w.Status.Ready || i >= maxServiceEvents {
			tell()
			continue
		}
		wg.Go(func() {
			c.trouble(ctx, &pods[i], w.Status)
			tell()
		})
	}
	wg.Wait()
	s.Pods = slices.DeleteFunc(s.Pods, func(p ServicePod) bool { return p.Name == "" })
	return nil
}

// unselected says what there is where no pod has the labels: pods with others, or
// something that makes such pods and has made none.
func (c *kubeConn) unselected(ctx context.Context, of *kubeService, s *ServiceState) {
	r := kubeRequest{group: kubeApps, resource: "replicasets", namespace: s.Namespace, labels: labels.Set(of.Spec.Selector).String()}
	sets, err := firstOf[kubeReplicaSet](ctx, c, r, 10)
	for i := range sets {
		set := &sets[i]
		if err == nil && checkName("", set.Metadata.Name, "") == nil {
			s.Workload = fmt.Sprintf("ReplicaSet %s has such pods, and is to have %d of them", set.Metadata.Name, set.Spec.Replicas)
			if set.Spec.Replicas > 0 {
				return
			}
		}
	}
	if s.Workload != "" {
		return
	}
	const most = 6
	_ = pages(ctx, c, kubeRequest{group: kubeCore, resource: kubePods, namespace: s.Namespace}, func(p *kubePod) bool {
		for key := range of.Spec.Selector {
			value, ok := p.Metadata.Labels[key]
			if shown := shownLabels(map[string]string{key: value}); ok && shown != "" && !slices.Contains(s.Labels, shown) {
				s.Labels = append(s.Labels, shown)
			}
		}
		return len(s.Labels) < most
	})
	slices.Sort(s.Labels)
}

// kubeReplicaSet is a ReplicaSet, which has the labels of its pods.
type kubeReplicaSet struct {
	kubeKind
	Metadata kubeMeta `json:"metadata"`
	Spec     struct {
		Replicas int `json:"replicas"`
	} `json:"spec"`
}

func (p *kubePod) isReady() bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c kubeCondition) bool { return c.Type == "Ready" && c.Status == "True" })
}

// servicePod sums a pod up.
func servicePod(p *kubePod, w *Workload) ServicePod {
	out := ServicePod{Name: w.Pod, Node: w.Node, Addresses: w.Status.PodIPs, Ready: w.Status.Ready && w.Status.Deleted.IsZero()}
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			const most = 10
			if len(out.Ports) == most {
				break
			}
			text := fmt.Sprintf("%d/%s", port.ContainerPort, cmp.Or(reasonWord(port.Protocol), "TCP"))
			if name := reasonWord(port.Name); name != "" {
				text = name + "=" + text
			}
			out.Ports = append(out.Ports, text)
		}
	}
	if !out.Ready {
		out.Cause, out.Words = w.whyNotReady()
		out.Message = w.Status.Message
		for i := range w.Containers {
			out.Message = cmp.Or(out.Message, w.Containers[i].Message)
		}
	}
	return out
}

// whyNotReady says why a pod is not ready.
func (w *Workload) whyNotReady() (cause, said string) {
	s := w.Status
	switch {
	case !s.Deleted.IsZero():
		return "deleted", "is being deleted"
	case s.ended():
		return "ended", "has ended (" + cmp.Or(s.Reason, s.Phase) + ")"
	}
	for i := range w.Containers {
		c := &w.Containers[i]
		if failed := c.ExitCode != nil && *c.ExitCode != 0; c.State == StateRestarting || failed && !c.State.Alive() && c.Kind != KindEphemeral {
			return "crash", c.trouble()
		}
	}
	for i := range w.Containers {
		if c := &w.Containers[i]; c.Waiting != "" {
			return "starting", c.trouble()
		}
	}
	if s.Phase == phasePending {
		return "starting", "does not start (" + cmp.Or(s.Reason, s.Phase) + ")"
	}
	for i := range w.Containers {
		c := &w.Containers[i]
		if c.State == StateRunning && c.Ready != nil && !*c.Ready && (c.Kind == "" || c.Kind == KindSidecar) {
			return "probe", fmt.Sprintf("container %s runs, and its readiness or startup probe does not succeed", c.label())
		}
	}
	if s.Node != nil {
		return "", "is on a node that does not report"
	}
	return "", "is not ready"
}

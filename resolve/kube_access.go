package resolve

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// KubeReport is how well the Kubernetes API serves.
type KubeReport struct {
	Server string // host and port
	// Denied are requests that RBAC does not allow, in words: "list pods".
	Denied []string
	// Node is the node that this machine is; "" for none of the cluster's.
	Node    string
	NodeErr error
	// Grant is the command that gives all the rights that are used.
	Grant string
}

// kubeRights are the requests that this package makes.
func kubeRights() []kubeRight {
	const get, list = "get", "list"
	return []kubeRight{
		{get, "", kubePods}, {list, "", kubePods}, {get, "", kubeNodes}, {list, "", kubeNodes},
		{list, "", kubeServices}, {list, "discovery.k8s.io", "endpointslices"}, {list, "", kubeEvents},
		{get, "apps", "deployments"}, {list, "apps", "replicasets"}, {get, "apps", "statefulsets"}, {get, "apps", "daemonsets"},
		{get, "batch", "cronjobs"}, {list, "batch", "jobs"},
	}
}

type kubeRight struct{ verb, group, resource string }

func (r kubeRight) String() string { return r.verb + " " + r.full() }

// full is the resource as kubectl takes it.
func (r kubeRight) full() string {
	if r.group == "" {
		return r.resource
	}
	return r.resource + "." + r.group
}

// kubeReview is a SelfSubjectAccessReview.
type kubeReview struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	Spec       struct {
		ResourceAttributes kubeAttributes `json:"resourceAttributes"`
	} `json:"spec"`
	Status struct {
		Allowed bool `json:"allowed"`
	} `json:"status,omitzero"`
}

type kubeAttributes struct {
	Verb     string `json:"verb"`
	Group    string `json:"group,omitempty"`
	Resource string `json:"resource"`
}

func (r *kubeReview) kind() string { return r.Kind }

// Report asks the API what it allows, and which node this machine is. It fails
// with [ErrAbsent] where no API is configured.
func (k *Kube) Report(ctx context.Context) (KubeReport, error) {
	report, err := kubeAsk(ctx, k, func(c *kubeConn) (KubeReport, error) {
		report := KubeReport{Server: c.base.Host, Grant: grantCommand()}
		var err error
		report.Denied, err = c.denied(ctx)
		return report, err
	})
	if err == nil {
		report.Node, report.NodeErr = k.ThisNode(ctx)
	}
	return report, err
}

// denied asks for each right by itself: rules may come from several places, and
// only the API knows what they add up to.
func (c *kubeConn) denied(ctx context.Context) ([]string, error) {
	const parallel = 4
	rights := kubeRights()
	denied, failed := make([]string, len(rights)), make([]error, len(rights))
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i, right := range rights {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			review := kubeReview{Kind: "SelfSubjectAccessReview", APIVersion: "authorization.k8s.io/v1"}
			review.Spec.ResourceAttributes = kubeAttributes{Verb: right.verb, Group: right.group, Resource: right.resource}
			var got kubeReview
			failed[i] = c.post(ctx, kubeRequest{group: kubeAuthorization, resource: "selfsubjectaccessreviews"}, review, &got)
			if !got.Status.Allowed {
				denied[i] = right.String()
			}
		})
	}
	wg.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err // they are all alike
		}
	}
	return slices.DeleteFunc(denied, func(s string) bool { return s == "" }), nil
}

// grantCommand makes a ClusterRole of all rights.
func grantCommand() string {
	var resources []string
	for _, r := range kubeRights() {
		if name := r.full(); !slices.Contains(resources, name) {
			resources = append(resources, name)
		}
	}
	return "kubectl create clusterrole nsenter-mcp --verb=get,list --resource=" + strings.Join(resources, ",") +
		"; then kubectl create clusterrolebinding nsenter-mcp --clusterrole=nsenter-mcp, with --serviceaccount=NAMESPACE:NAME or --user=NAME"
}

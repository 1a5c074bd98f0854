package resolve

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// KubeReport is how well the Kubernetes API serves.
type KubeReport struct {
	Server string // host and port
	// Denied are requests that RBAC does not allow, in words: "list pods".
	Denied []string
	// ExecDenied are those that kubectl exec makes and RBAC does not allow.
	ExecDenied []string
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
		{Verb: get, Resource: kubePods}, {Verb: list, Resource: kubePods}, {Verb: get, Resource: kubeNodes}, {Verb: list, Resource: kubeNodes},
		{Verb: list, Resource: kubeServices}, {Verb: list, Group: "discovery.k8s.io", Resource: "endpointslices"}, {Verb: list, Resource: kubeEvents},
		{Verb: get, Group: "apps", Resource: "deployments"}, {Verb: list, Group: "apps", Resource: "replicasets"},
		{Verb: get, Group: "apps", Resource: "statefulsets"}, {Verb: get, Group: "apps", Resource: "daemonsets"},
		{Verb: get, Group: "batch", Resource: "cronjobs"}, {Verb: list, Group: "batch", Resource: "jobs"},
	}
}

// execRights are the requests of kubectl exec, after finding a pod. Over a websocket,
// exec is a GET that the API also wants create for (Kubernetes 1.35).
func execRights(namespace string) []kubeRight {
	return []kubeRight{
		{Verb: "list", Resource: kubePods, Namespace: namespace},
		{Verb: "get", Resource: kubePods, Subresource: "exec", Namespace: namespace},
		{Verb: "create", Resource: kubePods, Subresource: "exec", Namespace: namespace},
	}
}

// kubeRight is a request that a SelfSubjectAccessReview asks about, in all namespaces
// or in one.
type kubeRight struct {
	Verb        string `json:"verb"`
	Group       string `json:"group,omitempty"`
	Resource    string `json:"resource"`
	Subresource string `json:"subresource,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
}

func (r kubeRight) String() string {
	text := r.Verb + " " + r.full()
	if r.Namespace != "" {
		text += " in namespace " + r.Namespace
	}
	return text
}

// full is the resource as kubectl takes it.
func (r kubeRight) full() string {
	text := r.Resource
	if r.Subresource != "" {
		text += "/" + r.Subresource
	}
	if r.Group != "" {
		text += "." + r.Group
	}
	return text
}

// kubeReview is a SelfSubjectAccessReview.
type kubeReview struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	Spec       struct {
		ResourceAttributes kubeRight `json:"resourceAttributes"`
	} `json:"spec"`
	Status struct {
		Allowed bool `json:"allowed"`
	} `json:"status,omitzero"`
}

func (r *kubeReview) kind() string { return r.Kind }

// Report asks the API what it allows, and which node this machine is; where execIn is
// not "", also whether it allows kubectl exec in that namespace. It fails with
// [ErrAbsent] where no API is configured.
func (k *Kube) Report(ctx context.Context, execIn string) (KubeReport, error) {
	report, err := kubeAsk(ctx, k, func(c *kubeConn) (KubeReport, error) {
		report := KubeReport{Server: c.base.Host, Grant: grantCommand()}
		var err error
		if report.Denied, err = c.denied(ctx, kubeRights()); err == nil && execIn != "" {
			report.ExecDenied, err = c.denied(ctx, execRights(execIn))
		}
		return report, err
	})
	if err == nil {
		report.Node, report.NodeErr = k.ThisNode(ctx)
	}
	return report, err
}

// denied asks for each right by itself: rules may come from several places, and
// only the API knows what they add up to.
func (c *kubeConn) denied(ctx context.Context, rights []kubeRight) ([]string, error) {
	denied := make([]string, len(rights))
	var questions errgroup.Group
	questions.SetLimit(4)
	for i, right := range rights {
		questions.Go(func() error {
			review := kubeReview{Kind: "SelfSubjectAccessReview", APIVersion: "authorization.k8s.io/v1"}
			review.Spec.ResourceAttributes = right
			var got kubeReview
			err := c.post(ctx, kubeRequest{group: kubeAuthorization, resource: "selfsubjectaccessreviews"}, review, &got)
			if !got.Status.Allowed {
				denied[i] = right.String()
			}
			return err
		})
	}
	if err := questions.Wait(); err != nil {
		return nil, err
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

package doctor

import (
	"errors"
	"strings"

	"nsenter-mcp/resolve"
)

// addKubernetes reports whether the API can be asked, what it allows, and which
// node this is. front: calls are to go to other nodes.
func (r *Report) addKubernetes(k resolve.KubeReport, err error, front bool) {
	const cost = "pods of other nodes, owners (deploy/web), services, and why a pod does not start are not known"
	switch {
	case errors.Is(err, resolve.ErrAbsent) && front:
		r.add(Check{
			ID: "kubernetes", Status: Warn, Detail: "no API is configured: no kubeconfig, and not in a pod",
			Cost: "--via does not know on which node a pod is: each call has to name the node (node), and " + cost, Fix: "give --kubeconfig or KUBECONFIG",
		})
		return
	case errors.Is(err, resolve.ErrAbsent):
		r.add(Check{ID: "kubernetes", Status: Info, Detail: "no API is configured: no kubeconfig, and not in a pod", Cost: cost, Fix: "give --kubeconfig or KUBECONFIG, if there is one"})
		return
	case err != nil:
		detail := err.Error()
		if said := resolve.Said(err); said != "" {
			detail += "; it says: " + said
		}
		r.add(Check{ID: "kubernetes", Status: Warn, Detail: detail, Cost: cost, Fix: "see whether kubectl get pods -A works with the same kubeconfig, as the same user"})
		return
	}
	r.add(Check{ID: "kubernetes", Status: OK, Detail: "the API at " + k.Server + " answers"})
	if len(k.Denied) > 0 {
		r.add(Check{
			ID: "kubernetes.rbac", Status: Warn, Detail: "not allowed in all namespaces: " + strings.Join(k.Denied, ", "),
			Cost: "what it would tell is missing from answers", Fix: k.Grant,
		})
	} else {
		r.add(Check{ID: "kubernetes.rbac", Status: OK, Detail: "everything that is asked for is allowed"})
	}
	switch {
	case k.NodeErr != nil:
		r.add(Check{ID: "kubernetes.node", Status: Warn, Detail: k.NodeErr.Error(), Cost: "a pod of another node is recognised only by what is not here", Fix: "give --node-name or NODE_NAME"})
	case k.Node == "":
		r.add(Check{ID: "kubernetes.node", Status: Info, Detail: "no node of the cluster has this machine's boot ID, so it is none of them or the kubeconfig is another cluster's; or several have it (kind) and no machine ID tells them apart"})
	default:
		r.add(Check{ID: "kubernetes.node", Status: OK, Detail: "this is node " + k.Node})
	}
}

package doctor

import (
	"errors"
	"slices"
	"strings"

	"nsenter-mcp/resolve"
)

// addKubernetes reports whether the API can be asked, what it allows, and which
// node this is. front: calls are to go to other nodes.
func (r *Report) addKubernetes(k resolve.KubeReport, err error, front bool) {
	if err != nil {
		c := Check{
			ID: "kubernetes", Status: Warn, Essential: front, Detail: err.Error(),
			Cost: "pods of other nodes, owners (deploy/web), services, and why a pod does not start are not known",
			Fix:  "see whether kubectl get pods -A works with the same kubeconfig, as the same user",
		}
		if said := resolve.Said(err); said != "" {
			c.Detail += "; it says: " + said
		}
		if errors.Is(err, resolve.ErrAbsent) {
			c.Detail, c.Fix = "no API is configured: no kubeconfig, and not in a pod", "give --kubeconfig or KUBECONFIG, if there is one"
			if !front {
				c.Status = Info
			}
		}
		if front {
			c.Cost = "--via does not know on which node a pod is: each call has to name the node (node), and " + c.Cost
		}
		r.add(c)
		return
	}
	r.add(Check{ID: "kubernetes", Status: OK, Detail: "the API at " + k.Server + " answers"})
	rights := Check{ID: "kubernetes.rbac", Status: OK, Detail: "everything that is asked for is allowed"}
	if len(k.Denied) > 0 {
		rights = Check{
			ID: "kubernetes.rbac", Status: Warn, Detail: "not allowed in all namespaces: " + strings.Join(k.Denied, ", "),
			Cost: "what it would tell is missing from answers", Fix: k.Grant,
		}
	}
	if front && slices.Contains(k.Denied, "list pods") {
		rights.Essential = true
		rights.Cost = "--via does not find the node of a pod, since nobody may list pods for it, and " + rights.Cost
	}
	r.add(rights)
	if len(k.ExecDenied) > 0 {
		r.add(Check{
			ID: "kubernetes.exec", Status: Warn, Essential: true, Detail: "not allowed: " + strings.Join(k.ExecDenied, ", "),
			Cost: "the command of --via reaches no node by kubectl exec, if kubectl asks as the same user", Fix: "give the role of docs/cluster.md",
		})
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

package resolve

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"nsenter-mcp/internal/words"
)

// kubeOwnerObject is any workload resource.
type kubeOwnerObject struct {
	kubeKind
	Metadata kubeMeta `json:"metadata"`
	Spec     struct {
		// Selector is that of a service, or a metav1.LabelSelector.
		Selector json.RawMessage `json:"selector"`
	} `json:"spec"`
}

// maxOwners bounds the resources of one name, in several namespaces, whose pods
// are looked for.
const maxOwners = 10

// ownerResource is where the API keeps a kind.
func ownerResource(kind ownerKind) (group, resource string) {
	switch kind {
	case ownerDeployment:
		return kubeApps, "deployments"
	case ownerReplicaSet:
		return kubeApps, "replicasets"
	case ownerDaemonSet:
		return kubeApps, "daemonsets"
	case ownerStatefulSet:
		return kubeApps, "statefulsets"
	case ownerJob:
		return kubeBatch, "jobs"
	case ownerService:
		return kubeCore, kubeServices
	}
	return kubeBatch, "cronjobs"
}

// Owned finds the pods of a workload resource by two or three requests.
func (k *Kube) Owned(ctx context.Context, q Query) ([]Workload, error) {
	return kubeAsk(ctx, k, func(c *kubeConn) ([]Workload, error) {
		owners, err := c.owners(ctx, q)
		if err != nil {
			return nil, err
		}
		var ws []Workload
		for i := range owners {
			pods, err := c.podsOf(ctx, q.kind, &owners[i])
			if err != nil {
				return nil, err
			}
			ws = append(ws, pods...)
		}
		return ws, nil
	})
}

// owners finds the resource that q names, in one namespace or in all. Services are
// listed: that right is needed in any case, see kubeRights.
func (c *kubeConn) owners(ctx context.Context, q Query) ([]kubeOwnerObject, error) {
	r := kubeRequest{namespace: q.Namespace}
	r.group, r.resource = ownerResource(q.kind)
	if q.Namespace == "" || q.kind == ownerService {
		r.fields = "metadata.name=" + q.Pod
		found, err := firstOf[kubeOwnerObject](ctx, c, r, maxOwners)
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("%s: %w", q.owner(), errNoOwner)
		}
		if !isForbidden(err) || c.namespace == "" || q.Namespace != "" {
			return found, err
		}
		r.namespace, r.fields = c.namespace, "" // the one that may be allowed
	}
	r.name = q.Pod
	var o kubeOwnerObject
	found, err := c.one(ctx, r, &o)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, fmt.Errorf("%s: %w", q.owner(), errNoOwner)
	}
	return []kubeOwnerObject{o}, nil
}

// labels select the pods of the resource; "" where it selects none.
func (o *kubeOwnerObject) labels(kind ownerKind) (string, error) {
	var err error
	switch kind {
	case ownerCronJob:
		return "job-name", nil // of its Jobs, as it has no selector
	case ownerService:
		var selector labels.Set
		if err = json.Unmarshal(o.Spec.Selector, &selector); err == nil {
			return selector.String(), nil
		}
	default:
		var selector metav1.LabelSelector
		if err = json.Unmarshal(o.Spec.Selector, &selector); err == nil {
			var s labels.Selector
			if s, err = metav1.LabelSelectorAsSelector(&selector); err == nil {
				return s.String(), nil
			}
		}
	}
	return "", &SaidError{Words: "the selector of " + words.Printable(o.Metadata.Name) + " cannot be read", Text: err.Error(), Err: err}
}

// podsOf lists the pods that the resource controls, directly or through what it
// makes for each version or run, or that it selects as a service.
func (c *kubeConn) podsOf(ctx context.Context, kind ownerKind, o *kubeOwnerObject) ([]Workload, error) {
	if kind == ownerService && len(o.Spec.Selector) == 0 {
		return nil, nil // somebody else says what is behind it
	}
	labels, err := o.labels(kind)
	if err != nil {
		return nil, err
	}
	controllers := map[string]bool{o.Metadata.UID: true}
	between := kubeRequest{namespace: o.Metadata.Namespace}
	switch kind {
	case ownerDeployment:
		between.group, between.resource, between.labels = kubeApps, "replicasets", labels
	case ownerCronJob:
		between.group, between.resource = kubeBatch, "jobs"
	}
	if between.resource != "" {
		err := pages(ctx, c, between, func(b *kubeOwnerObject) bool {
			if by := b.Metadata.controller(); by != nil && by.UID == o.Metadata.UID {
				controllers[b.Metadata.UID] = true
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	var ws []Workload
	err = pages(ctx, c, kubeRequest{group: kubeCore, resource: kubePods, namespace: o.Metadata.Namespace, labels: labels}, func(p *kubePod) bool {
		by := p.Metadata.controller()
		if kind != ownerService && (by == nil || !controllers[by.UID]) {
			return true
		}
		if w, ok := fromPod(p); ok {
			ws = append(ws, w)
		}
		return true
	})
	return ws, err
}

package resolve

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kubeOwnerObject is any workload resource.
type kubeOwnerObject struct {
	kubeKind
	Metadata kubeMeta `json:"metadata"`
	Spec     struct {
		Selector *metav1.LabelSelector `json:"selector"`
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

// owners finds the resource that q names, in one namespace or in all.
func (c *kubeConn) owners(ctx context.Context, q Query) ([]kubeOwnerObject, error) {
	group, resource := ownerResource(q.kind)
	if q.Namespace == "" {
		var list kubeList[kubeOwnerObject]
		err := c.get(ctx, kubeRequest{group: group, resource: resource, fields: "metadata.name=" + q.Pod}, maxOwners, "", &list)
		if err == nil && len(list.Items) == 0 {
			err = fmt.Errorf("%s: %w", q.owner(), errNoOwner)
		}
		if !isForbidden(err) || c.namespace == "" {
			return list.Items[:min(len(list.Items), maxOwners)], err
		}
		q.Namespace = c.namespace // the one that may be allowed
	}
	var o kubeOwnerObject
	found, err := c.one(ctx, kubeRequest{group: group, resource: resource, namespace: q.Namespace, name: q.Pod}, &o)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, fmt.Errorf("%s: %w", q.owner(), errNoOwner)
	}
	return []kubeOwnerObject{o}, nil
}

// podsOf lists the pods that the resource controls, directly or through what it
// makes for each version or run.
func (c *kubeConn) podsOf(ctx context.Context, kind ownerKind, o *kubeOwnerObject) ([]Workload, error) {
	labels := "job-name" // of the Jobs of a CronJob, which has no selector
	if o.Spec.Selector != nil {
		selector, err := metav1.LabelSelectorAsSelector(o.Spec.Selector)
		if err != nil {
			return nil, fmt.Errorf("selector of %s: %w", o.Metadata.Name, err)
		}
		labels = selector.String()
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
	err := pages(ctx, c, kubeRequest{group: kubeCore, resource: kubePods, namespace: o.Metadata.Namespace, labels: labels}, func(p *kubePod) bool {
		by := p.Metadata.controller()
		if by == nil || !controllers[by.UID] {
			return true
		}
		if w, ok := fromPod(p); ok {
			ws = append(ws, w)
		}
		return true
	})
	return ws, err
}

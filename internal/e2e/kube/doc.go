// Package kube tests the built program on a real Kubernetes: the API server,
// kubelet, kube-proxy, CoreDNS, containerd and runc of internal/testbed, on a
// node of one. `make e2e-kube` starts it, runs these tests inside the node's network
// and mount namespaces, and takes it down; `make bed-up` and `make bed-test` do
// so step by step.
//
// What the program says is held against what Kubernetes says (kubectl) and what
// the pod itself sees (kubectl exec). The tests share one cluster, and each has
// a Kubernetes namespace of its own. Those that break something of the node,
// such as the CNI configuration, are not parallel, so they run alone.
package kube

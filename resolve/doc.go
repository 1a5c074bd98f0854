// Package resolve turns the name of something that has a network (a pod, a
// container, a process, a network namespace, an address) into a [Target]: a
// pinned network namespace, the files that belong to it, and what is known of
// the workload.
//
// A [Resolver] asks its sources side by side: the Docker engine, the kubelet's
// files, the node's cgroups, and whatever else implements [Source]. A source says
// what it knows and opens nothing. Matching names, verifying that a process is still the one
// that was meant, and entering is done here, once for all sources.
//
// Every failure is an [*Error] with a [Kind] that programs branch on, a message
// that says what is wrong, and a hint that says what to do next.
package resolve

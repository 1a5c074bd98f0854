// Package journey records where the packets of one flow went on this node: the
// kernel reports each of them at every device of every namespace, before and after
// NAT, and gives its own reason where it threw one away.
//
// Three raw tracepoints are attached while at least one recording runs:
// net_dev_queue and netif_receive_skb (include/trace/events/net.h), and kfree_skb
// (include/trace/events/skb.h). Programs are assembled here; offsets and the names of
// reasons come from the running kernel's BTF, so neither a compiler nor headers are
// needed. Packets are selected inside the kernel: those of other flows never reach
// this process.
package journey

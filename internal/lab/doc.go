// Package lab makes throw-away nodes and pods out of Linux namespaces, for the
// demo command, for tests and for benchmarks. It needs no container engine, no
// image, no package and no network, and nothing of it outlives the process.
//
// # Isolation
//
// Labs only exist in a process that was first moved, whole, into a network and
// mount namespace of its own with a private /run and /var/log. A test binary does
// that by
//
//	func TestMain(m *testing.M) { lab.TestMain(m) }
//
// in a file for Linux only, and a program by calling [Main] as the first
// statement of main and [Isolate] before its first lab. Both run the same
// executable again, as root or, where user namespaces are allowed, as anybody.
// In the new namespace there is only a loopback interface, so a probe that
// escapes from a pod reaches nobody. Not cut off are unix sockets elsewhere than
// below /run, and the processes of the machine: /proc is the machine's.
//
// # Nodes and pods
//
//	l := lab.Start(t)                                        // closed by t.Cleanup
//	web := l.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "shop"})
//	web.PID, web.Root, web.IP, web.HostLink                  // facts
//	web.Handle, web.Path                                     // its network namespace, and the pin of it
//	at, err := web.Serve(":80", handler)                     // a server inside the pod
//	out, err := web.Output("ip", "-j", "addr")               // a program of this machine inside the pod
//	err := web.Break("eth0 down")                            // a fault
//
// A [Lab] has one [Node] from the start, l.Node, and gets more by [Lab.AddNode].
// A node is a network namespace with forwarding on, eth0 (172.18.0.N+1) on a
// switch that all nodes share, and a default route that ends at that switch. It
// is not the process's own namespace, which stays empty: l.Node.Handle is what
// tests take for the host, l.Home.Self() is where nothing may ever be seen. A
// program that is to take the node for its own home is started by
// [Netns.Start].
//
// A [Pod] is what a container runtime makes of it: a network namespace pinned
// below /run/netns; a pause process in UTS, IPC, PID and mount namespaces of its
// own, with its root directory below [Lab.Dir]; and containers that share the
// pause's network but none of its other namespaces or files ([ContainerSpec]).
// Containers without a pod, as "docker run" makes them, come from
// [Lab.AddContainer].
//
//	Bridge       eth0 10.244.N.x/24 on the bridge cni0, which is the gateway 10.244.N.1
//	Calico       eth0 100.121.N.x/32, gateway 169.254.1.1 answered by the node's end of
//	             the veth (cali..., proxy_arp, no bridge), and a tunnel device tunl0 that is down
//	Plain        lo only
//	HostNetwork  the node's own namespace
//
// N is the number of the node, from 1; x counts from 10. With IPv6 there is a
// second address, fd00:10:244:N::x or fd00:100:121:N::x. A pod works when it is
// returned: its addresses are past duplicate address detection (which is off)
// and both ends of its veth are up, so that no first packet is lost.
//
// tunl0 is an ipip device where the kernel has them, else a tun device, else
// (/dev/net/tun is root's) an ifb device; Netns.Tunnel says which.
//
// [Lab.AddService] adds a service address, which every node translates by
// nftables, for any address: give 10.96.0.10 and UDP port 53 to have what the
// pods' resolv.conf names. [Node.Engine] serves a part of the Docker engine's
// API that shows the node's containers on a unix socket, so that a client finds
// a pod by its labels without Docker, and [StartRuntime] does so over the
// Container Runtime Interface, in the manner of several runtimes. [Faults] is the one table of
// what can be broken, with what the tools have to say of it; a [Scene] is what one
// of its rows needs.
//
// # Processes
//
// Each container is one process: this executable again, caught by [Main]. It
// reads orders from a pipe whose other end only the lab's process holds, so it
// ends when that one ends, in whatever way. [Lab.Close] ends and reaps all of
// them and unpins the namespaces; the kernel frees namespaces and what is in
// them a moment later, in the background, which is in nobody's way as each lab
// has namespaces of its own.
//
// The methods of [Lab], [Node] and [Engine] may be called from any goroutine,
// those of one pod or container from one at a time. On other systems than Linux
// everything fails with [nsexec.ErrUnsupported].
package lab

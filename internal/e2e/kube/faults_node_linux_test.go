//go:build e2e

package kube

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// nodeFault disturbs the whole node, so that one follows the other.
type nodeFault struct {
	fault
	// make makes the fault, whose undoing is a clean-up of t.
	make func(t *testing.T, n namespace)
	// dns is how lookups end, once the fault has reached all parts.
	dns string
}

// denied: the nameserver answers that there is no such name, or that it cannot tell.
const denied = "denied"

// served is the pod behind service front; its own name is in its hosts file.
const served = "api"

func nodeFaults() []nodeFault {
	dropAt := func(rule ...string) func(*testing.T, namespace) {
		return func(t *testing.T, n namespace) {
			for i, word := range rule {
				rule[i] = strings.ReplaceAll(word, "POD", n.get(t, served).Status.PodIP)
			}
			run(t, "iptables", append([]string{"-I", "FORWARD"}, rule...)...)
			undo(t, "iptables", append([]string{"-D", "FORWARD"}, rule...)...)
		}
	}
	const byName, byPod = "http://front/", "http://POD:8080/"
	detach := func(t *testing.T, n namespace) {
		veth := n.veth(t, served)
		run(t, "ip", "link", "set", veth, "nomaster")
		undo(t, "bridge", "link", "set", "dev", veth, "hairpin", "on") // after the next
		undo(t, "ip", "link", "set", veth, "master", "cni0")
	}
	return []nodeFault{
		{fault{name: "network policy, by service", url: byName, code: "fw.host_drop"}, dropAt("-d", "POD", "-j", "DROP"), ""},
		{fault{name: "network policy, by the pod's address", url: byPod, code: "fw.host_drop"}, dropAt("-d", "POD", "-j", "DROP"), ""},
		{fault{name: "FORWARD drops all", url: byName, code: "fw.host_drop"}, dropAt("-j", "DROP"), ""},
		{fault{name: "FORWARD drops answers", url: byName, code: "fw.host_drop"}, dropAt("-s", "POD", "-j", "DROP"), ""},
		{fault{name: "ip_forward=0", url: byName, code: "sysctl.ip_forward"}, func(t *testing.T, _ namespace) {
			setFile(t, "/proc/sys/net/ipv4/ip_forward", "0")
		}, ""},
		{fault{name: "rules of kube-proxy deleted", url: "http://front{}/", code: "svc.no_dnat"}, func(t *testing.T, _ namespace) {
			freeze(t, "kube-proxy")
			keepRules(t)
			run(t, "iptables", "-t", "nat", "-F", "KUBE-SERVICES")
		}, ""},
		{fault{name: "kube-proxy stopped, endpoints stale", url: byName, code: "svc.stale_endpoint", others: []string{"svc.dead_backend", "neigh.failed"}}, func(t *testing.T, n namespace) {
			freeze(t, "kube-proxy")
			n.kubectl(t, "delete", "pod", served)
			n.apply(t, shopPod(served, served, httpd, ""))
			n.until(t, served, "ready", (*pod).ready)
			ip := n.get(t, served).Status.PodIP
			await(t, "the endpoint is the new pod's", func() bool {
				return strings.Contains(n.kubectl(t, "get", "endpointslices", "-l", "kubernetes.io/service-name=front", "-o", "jsonpath={.items[*].endpoints[*]}"), ip)
			})
		}, ""},
		{fault{name: "veth off the bridge, by service", url: byName, code: "link.detached", others: []string{"svc.dead_backend"}}, detach, ""},
		{fault{name: "veth off the bridge, by the pod's address", url: byPod, code: "neigh.failed", others: []string{"link.detached"}}, detach, ""},
		{fault{name: "hairpin off", client: served, url: byName, code: "svc.hairpin"}, func(t *testing.T, n namespace) {
			veth := n.veth(t, served)
			run(t, "bridge", "link", "set", "dev", veth, "hairpin", "off")
			undo(t, "bridge", "link", "set", "dev", veth, "hairpin", "on")
		}, ""},
		{fault{name: "CoreDNS scaled to 0", url: byName, code: "svc.no_endpoints", says: "kube-system/kube-dns"}, func(t *testing.T, _ namespace) {
			scaleDNS(t, "")
		}, "unreachable"},
		{fault{name: "CoreDNS with another zone", url: byName, code: "dns.service_denied"}, func(t *testing.T, _ namespace) {
			scaleDNS(t, strings.ReplaceAll(corefile(t), "cluster.local", "cluster.lokal"))
		}, denied},
		{fault{name: "CoreDNS with another zone, looked up", lookup: "front", code: "dns.service_denied"}, func(t *testing.T, _ namespace) {
			scaleDNS(t, strings.ReplaceAll(corefile(t), "kubernetes cluster.local", "kubernetes cluster.lokal"))
		}, denied},
		{fault{name: "CoreDNS with a bad Corefile, looked up", lookup: "front", code: "k8s.crash", says: "kube-system/kube-dns"}, func(t *testing.T, _ namespace) {
			scaleDNS(t, "cluster.local:53 {\n  nosuchplugin\n}\n")
		}, "unreachable"},
	}
}

// TestFaultsOfTheNode: each fault is found by following the answers alone.
func TestFaultsOfTheNode(t *testing.T) {
	n := newNamespace(t, "node-faults")
	n.apply(t, shopPod("visitor", "visitor", idle, "")+shopPod(served, served, httpd, "")+shopService("front", "selector: {app: api}, "+port80))
	for _, name := range []string{"visitor", served} {
		n.until(t, name, "ready", (*pod).ready)
	}
	c := serve(t)
	well := func(t *testing.T) {
		for _, client := range []string{"visitor", served} {
			await(t, "the service answers "+client, func() bool {
				return outcome(c.ask(t, "netns_curl", args{"pod": client, "namespace": string(n), "url": "http://front/"})) == "ok"
			})
		}
	}
	var found tally
	for _, f := range nodeFaults() {
		well(t)
		t.Run(f.name, func(t *testing.T) {
			f.make(t, n)
			if f.dns != "" {
				await(t, "lookups end with "+f.dns, func() bool {
					end := outcome(c.ask(t, "netns_dns_lookup", args{"pod": "visitor", "namespace": string(n), "name": "front"}))
					return end == f.dns || f.dns == denied && slices.Contains([]string{"nxdomain", "nodata", "servfail", "refused"}, end)
				})
			}
			f.url = strings.ReplaceAll(f.url, "POD", n.get(t, served).Status.PodIP)
			found.add(f.name, f.find(t, c, n))
		})
	}
	well(t)
	t.Run("the trail of a request by cluster IP", func(t *testing.T) { trailOfAService(t, c, n) })
	found.judge(t, len(nodeFaults()))
}

// trailOfAService: the SYN to a service's cluster IP is seen to leave the pod, and behind
// NAT, where a rule like that of a network policy drops it.
func trailOfAService(t *testing.T, c *client, n namespace) {
	ip, service := n.get(t, served).Status.PodIP, n.address(t, "front{}")
	rule := []string{"FORWARD", "-d", ip, "-j", "DROP"}
	run(t, "iptables", append([]string{"-I"}, rule...)...)
	undo(t, "iptables", append([]string{"-D"}, rule...)...)
	a := c.succeed(t, "netns_curl", args{"pod": "visitor", "namespace": string(n), "url": "http://" + service + "/", "details": true})
	journey, err := field[struct {
		Status string
		Steps  []struct{ Place, What, Reason, Kind, Dst string }
	}](a, "journey")
	if err != nil || journey.Status != "recorded" {
		t.Fatalf("%v: %s", err, a.raw)
	}
	var left, dropped bool
	for _, s := range journey.Steps {
		left = left || s.Place == "target" && s.What == "queued" && s.Kind == "SYN" && s.Dst == service+":80"
		dropped = dropped || left && s.Place == "node" && s.What == "dropped" && s.Reason == "NETFILTER_DROP" && s.Dst == ip+":8080"
	}
	if !dropped {
		t.Errorf("to %s and %s: %+v", service, ip, journey.Steps)
	}
}

// undo runs a program when the test ends.
func undo(t *testing.T, name string, words ...string) {
	t.Helper()
	t.Cleanup(func() {
		if out, err := exec.Command(name, words...).CombinedOutput(); err != nil {
			t.Errorf("%s %v: %v\n%s", name, words, err, out)
		}
	})
}

// setFile writes a setting of the kernel, until the test ends.
func setFile(t *testing.T, path, value string) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(path, bytes.TrimSpace(before), 0); err != nil {
			t.Error(err)
		}
	})
}

// keepRules puts the node's NAT rules back when the test ends: kube-proxy writes only
// what has changed.
func keepRules(t *testing.T) {
	t.Helper()
	rules := run(t, "iptables-save", "-t", "nat") + "\n"
	t.Cleanup(func() {
		cmd := exec.Command("iptables-restore")
		cmd.Stdin = strings.NewReader(rules)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// veth is the node's end of a pod's interface.
func (n namespace) veth(t *testing.T, name string) string {
	t.Helper()
	_, index, _ := strings.Cut(n.exec(t, name, "", "ip", "link", "show", "eth0"), "@if") // 2: eth0@if9: <UP,...>
	index, _, _ = strings.Cut(index, ":")
	for line := range strings.Lines(run(t, "ip", "-o", "link")) {
		if rest, ok := strings.CutPrefix(line, index+": "); ok {
			dev, _, _ := strings.Cut(rest, "@")
			return dev
		}
	}
	t.Fatalf("no interface %s on the node", index)
	return ""
}

// corefile is CoreDNS's configuration.
func corefile(t *testing.T) string {
	t.Helper()
	return kubectl(t, "-n", "kube-system", "get", "configmap", "coredns", "-o", "jsonpath={.data.Corefile}")
}

// scaleDNS takes CoreDNS down, and starts it with another configuration, if there is one,
// until the test ends.
func scaleDNS(t *testing.T, config string) {
	t.Helper()
	right := corefile(t)
	t.Cleanup(func() { restartDNS(t, right, true) })
	restartDNS(t, config, false)
}

const dnsNamespace = namespace("kube-system")

// restartDNS ends CoreDNS and starts it with a configuration; "" does not start it.
func restartDNS(t *testing.T, config string, ready bool) {
	t.Helper()
	pods := func() string { return dnsNamespace.kubectl(t, "get", "pods", "-l", "k8s-app=kube-dns", "-o", "name") }
	dnsNamespace.kubectl(t, "scale", "deployment/coredns", "--replicas=0")
	dnsNamespace.kubectl(t, "delete", "pods", "-l", "k8s-app=kube-dns", "--grace-period=0", "--force", "--ignore-not-found")
	await(t, "CoreDNS is gone", func() bool { return pods() == "" })
	if config == "" {
		return
	}
	manifest, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]string{"name": "coredns"}, "data": map[string]string{"Corefile": config},
	})
	if err != nil {
		t.Fatal(err)
	}
	dnsNamespace.apply(t, string(manifest))
	dnsNamespace.kubectl(t, "scale", "deployment/coredns", "--replicas=1")
	await(t, "CoreDNS has been started", func() bool {
		status := dnsNamespace.kubectl(t, "get", "pods", "-l", "k8s-app=kube-dns", "-o", `jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status} {.items[*].status.containerStatuses[*].restartCount}`)
		isReady, restarts, _ := strings.Cut(status, " ")
		return isReady == "True" || !ready && restarts != "" && restarts != "0"
	})
}

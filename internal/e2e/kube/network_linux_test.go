//go:build e2e

package kube

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// web is a server and its service, a pod with a shell beside them, and one that
// has nothing but its program: the same as the sandbox's.
const web = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - name: web
    image: busybox:1
    command: [sh, -c, "mkdir -p /www; echo hello from $(hostname) >/www/index.html; exec httpd -f -p 8080 -h /www"]
    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec:
  clusterIP: None
  selector: {app: web}
  ports: [{port: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: visitor}
spec:
  containers:
  - {name: shell, image: "busybox:1", command: [sleep, "1000000"]}
---
apiVersion: v1
kind: Pod
metadata: {name: scratch}
spec:
  containers:
  - {name: bare, image: "registry.k8s.io/pause:3.10"}
`

// link is an interface as `ip -j addr` and netns_ip_addr name its parts.
type link struct {
	Ifname, Address string
	MTU             int
	AddrInfo        []struct {
		Family, Local string
		Prefixlen     int
	} `json:"addr_info"`
}

// lines are what a person compares of two lists of interfaces, by interface.
func (l link) line() string {
	var addresses []string
	for _, a := range l.AddrInfo {
		addresses = append(addresses, fmt.Sprintf("%s/%d", a.Local, a.Prefixlen))
	}
	slices.Sort(addresses)
	return fmt.Sprintf("%s %s mtu %d: %s", l.Ifname, l.Address, l.MTU, strings.Join(addresses, " "))
}

// ipAddr are the interfaces that the busybox in a pod sees.
func (n namespace) ipAddr(t testing.TB, pod, container string) []string {
	t.Helper()
	var all []string
	var current link
	flush := func() {
		if current.Ifname != "" {
			all = append(all, current.line())
		}
	}
	for line := range strings.Lines(n.exec(t, pod, container, "ip", "addr")) {
		words := strings.Fields(line)
		switch {
		case len(line) > 0 && line[0] != ' ': // 2: eth0@if9: <UP,...> mtu 1500 ...
			flush()
			name, _, _ := strings.Cut(strings.TrimSuffix(words[1], ":"), "@")
			current = link{Ifname: name}
			if _, err := fmt.Sscan(words[slices.Index(words, "mtu")+1], &current.MTU); err != nil {
				t.Fatalf("%v in %q", err, line)
			}
		case strings.HasPrefix(words[0], "link/"):
			current.Address = words[1]
		case words[0] == "inet" || words[0] == "inet6":
			local, length, _ := strings.Cut(words[1], "/")
			a := struct {
				Family, Local string
				Prefixlen     int
			}{Family: words[0], Local: local}
			if _, err := fmt.Sscan(length, &a.Prefixlen); err != nil {
				t.Fatalf("%v in %q", err, line)
			}
			current.AddrInfo = append(current.AddrInfo, a)
		}
	}
	flush()
	slices.Sort(all)
	return all
}

// interfaces are those of an answer of netns_ip_addr, in the same form.
func interfaces(t testing.TB, a answer) []string {
	t.Helper()
	data := decode[struct{ Interfaces []link }](t, a)
	var all []string
	for _, l := range data.Interfaces {
		all = append(all, l.line())
	}
	slices.Sort(all)
	return all
}

// TestNetwork compares what the program sees in a pod with what the pod sees
// itself, and then looks into one that could not be asked.
func TestNetwork(t *testing.T) {
	t.Parallel()
	n := newNamespace(t, "network")
	n.apply(t, web)
	server := n.until(t, "web", "ready", (*pod).ready)
	visitor := n.until(t, "visitor", "ready", (*pod).ready)
	scratch := n.until(t, "scratch", "ready", (*pod).ready)
	c := serve(t)

	t.Run("interfaces as ip addr in the pod has them", func(t *testing.T) {
		for name, p := range map[string]*pod{"web": server, "visitor": visitor} {
			a := c.succeed(t, "netns_ip_addr", named(p, args{"details": true}))
			want := n.ipAddr(t, name, "")
			if got := interfaces(t, a); !slices.Equal(got, want) {
				t.Errorf("%s: %q\nkubectl exec says %q", name, got, want)
			}
			if len(want) != 2 || !strings.Contains(want[0], p.Status.PodIP+"/") {
				t.Errorf("%s: %q do not have the pod's address %s", name, want, p.Status.PodIP)
			}
			if len(a.Findings) != 0 {
				t.Errorf("%s: a healthy network has findings %v", name, a.Findings)
			}
		}
	})

	t.Run("a pod without a shell", func(t *testing.T) {
		if out, err := tryKubectl("", "-n", string(n), "exec", "scratch", "--", "ip", "addr"); err == nil {
			t.Fatalf("the image has an ip program: %s", out)
		}
		a := c.succeed(t, "netns_ip_addr", named(scratch, nil))
		if all := strings.Join(interfaces(t, a), "\n"); !strings.Contains(all, "eth0") || !strings.Contains(all, " "+scratch.Status.PodIP+"/24") {
			t.Errorf("%s\nhas not %s", all, scratch.Status.PodIP)
		}
	})

	serviceIP := n.kubectl(t, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
	t.Run("names", func(t *testing.T) {
		for _, c2 := range []struct {
			name string
			want []string // none: the name does not exist
		}{
			{"web", []string{serviceIP}}, // by the search list
			{"web.network", []string{serviceIP}},
			{"web.network.svc.cluster.local", []string{serviceIP}},
			{"headless", []string{server.Status.PodIP}},
			{"kubernetes.default", []string{"10.96.0.1"}},
			{"no-such-service", nil},
		} {
			out, err := tryKubectl("", "-n", string(n), "exec", "visitor", "--", "nslookup", "-type=a", full(c2.name, n))
			if inside := nslookup(out); err == nil != (c2.want != nil) || err == nil && !slices.Equal(inside, c2.want) {
				t.Errorf("%s is %v (%v) in the pod, want %v", c2.name, inside, err, c2.want)
			}
			for _, p := range []*pod{visitor, scratch} {
				a := c.succeed(t, "netns_dns_lookup", named(p, args{"name": c2.name}))
				data := decode[struct {
					Outcome   string
					Addresses []string
				}](t, a)
				if want := map[bool]string{true: "answered", false: "nxdomain"}[c2.want != nil]; data.Outcome != want {
					t.Errorf("%s from %s: %s, want %s: %s", c2.name, p.Metadata.Name, data.Outcome, want, a.Data)
				}
				if c2.want != nil && !slices.Equal(data.Addresses, c2.want) {
					t.Errorf("%s from %s: %v, want %v", c2.name, p.Metadata.Name, data.Addresses, c2.want)
				}
			}
		}
	})

	t.Run("a service", func(t *testing.T) {
		const greeting = "hello from web"
		for _, url := range []string{"http://web.network/", "http://" + serviceIP + "/", "http://headless:8080/"} {
			if inside := n.exec(t, "visitor", "", "timeout", "20", "wget", "-qO-", url); inside != greeting {
				t.Errorf("%s is %q in the pod", url, inside)
			}
			for _, p := range []*pod{visitor, scratch, server} { // the server itself: hairpin
				a := c.succeed(t, "netns_curl", named(p, args{"url": url}))
				data := decode[struct {
					Outcome   string
					Status    int
					Untrusted json.RawMessage
				}](t, a)
				if data.Outcome != "ok" || data.Status != 200 || !strings.Contains(string(data.Untrusted), greeting) {
					t.Errorf("%s from %s: %s %s", url, p.Metadata.Name, a.Summary, a.Data)
				}
			}
		}
		a := c.succeed(t, "netns_curl", named(scratch, args{"url": "http://" + server.Status.PodIP + ":81/"}))
		if len(a.Findings) == 0 || a.Findings[0].Code != "tcp.refused" {
			t.Errorf("a port that nobody listens on: %s %v", a.Summary, a.Findings)
		}
	})

	t.Run("whose is this process, whose is this address", func(t *testing.T) {
		for _, in := range []args{{"ip": visitor.Status.PodIP}, {"pid": c.succeed(t, "netns_ip_addr", named(visitor, nil)).Target.PID}} {
			var a answer
			await(t, fmt.Sprintf("an owner of %v", in), func() bool {
				// A process that was run in the pod may be found, and end: call again.
				a = c.ask(t, "resolve_pod_pid", in)
				return a.Error == nil || a.Error.Code != "target_gone"
			})
			if a.Error != nil {
				t.Fatalf("%v: %s", in, a.raw)
			}
			if got := decode[struct{ UID string }](t, a).UID; got != visitor.Metadata.UID {
				t.Errorf("%v belongs to %s, want %s: %s", in, got, visitor.Metadata.UID, a.raw)
			}
		}
	})
}

// named names a pod, and adds other arguments.
func named(p *pod, more args) args {
	in := args{"pod": p.Metadata.Name, "namespace": p.Metadata.Namespace}
	maps.Copy(in, more)
	return in
}

// full completes a name as busybox's nslookup does not: by the search list.
func full(name string, n namespace) string {
	switch strings.Count(name, ".") {
	case 0:
		return name + "." + string(n) + ".svc.cluster.local"
	case 1:
		return name + ".svc.cluster.local"
	}
	return name
}

// nslookup are the addresses in the output of busybox's nslookup, which names
// the server's address first.
func nslookup(out string) []string {
	var all []string
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "Address:"); ok {
			all = append(all, strings.TrimSpace(rest))
		}
	}
	return all[min(1, len(all)):]
}

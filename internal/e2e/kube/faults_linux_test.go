//go:build e2e

package kube

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fault is something wrong at the level of Kubernetes, and the first call of who meets it.
type fault struct {
	name string
	// client is the pod that calls, "visitor" by default.
	client string
	// url is requested; NAME{} stands for the cluster IP of service NAME, and :NAME{} for
	// its nodePort. Where lookup is set, that name is looked up instead.
	url, lookup string
	// code is what must be found. others are true as well.
	code   string
	others []string
	// says stands in the finding.
	says string
}

// symptoms are findings that name no cause.
var symptoms = []string{
	"tcp.refused", "tcp.timeout", "tcp.unreachable", "tcp.reset", "tcp.syn_retransmitted", "http.no_response", "dns.nxdomain", "dns.nodata", "dns.servfail",
	"dns.refused", "dns.nameserver_timeout", "dns.nameserver_refused", "dns.nameserver_unreachable", "dns.slow", "dns.search_missing",
}

// maxCalls is how many calls a walk may take.
const maxCalls = 3

// find makes the first call and follows what the answers propose, the newest first, until
// the cause is found. It knows the fault only to end early.
func (f *fault) find(t *testing.T, c *client, n namespace) (found bool) {
	t.Helper()
	tool, in := "netns_curl", args{"url": n.address(t, f.url)}
	if f.lookup != "" {
		tool, in = "netns_dns_lookup", args{"name": f.lookup}
	}
	in["pod"], in["namespace"] = cmp.Or(f.client, "visitor"), string(n)
	var said []string
	type call struct {
		tool string
		in   args
	}
	left := []call{{tool, in}}
	asked := map[string]bool{}
	for calls := 0; calls < maxCalls && len(left) > 0; {
		next := left[0]
		left = left[1:]
		key, err := json.Marshal(next.in)
		if err != nil {
			t.Fatal(err)
		}
		if asked[next.tool+string(key)] {
			continue
		}
		asked[next.tool+string(key)] = true
		calls++
		a := c.ask(t, next.tool, next.in)
		said = append(said, fmt.Sprintf("%s %s: %s", next.tool, key, a.Summary))
		for _, finding := range a.Findings {
			switch {
			case finding.Code == f.code && strings.Contains(finding.Fact, f.says):
				found = true
			case slices.Contains(symptoms, finding.Code), slices.Contains(f.others, finding.Code):
			default:
				t.Errorf("wrong: %s: %s\n%s", finding.Code, finding.Fact, a.raw)
			}
		}
		if found {
			return true
		}
		var proposed []call
		for _, p := range a.Next {
			proposed = append(proposed, call{p.Tool, p.Arguments})
		}
		left = append(proposed, left...)
		said = append(said, tailOf(a))
	}
	t.Logf("%s was not found:\n%s", f.code, strings.Join(said, "\n"))
	return false
}

func tailOf(a answer) string { return string(a.raw[:min(len(a.raw), 2500)]) }

// address fills in what only the API knows of services.
func (n namespace) address(t *testing.T, url string) string {
	t.Helper()
	host, rest, ok := strings.Cut(url, "{}")
	if !ok {
		return url
	}
	before, name := host[:strings.LastIndexAny(host, ":/")+1], host[strings.LastIndexAny(host, ":/")+1:]
	path := "{.spec.clusterIP}"
	if strings.HasSuffix(before, "node:") {
		before = strings.TrimSuffix(before, "node:") + n.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[0].status.addresses[0].address}") + ":"
		path = "{.spec.ports[0].nodePort}"
	}
	return before + n.kubectl(t, "get", "service", name, "-o", "jsonpath="+path) + rest
}

// tally counts what was found.
type tally struct {
	mu     sync.Mutex
	total  int
	missed []string
}

func (y *tally) add(name string, found bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.total++
	if !found {
		y.missed = append(y.missed, name)
	}
}

// judge fails the test where less than 90 % were found.
func (y *tally) judge(t *testing.T, least int) {
	t.Helper()
	t.Logf("of %d faults were not found: %q", y.total, y.missed)
	if y.total < least || len(y.missed)*10 > y.total {
		t.Errorf("of %d faults, at least %d, these were not found: %q", y.total, least, y.missed)
	}
}

// shopPod is a pod with one container, to which more is added.
func shopPod(name, app, command, more string) string {
	return fmt.Sprintf(`---
{apiVersion: v1, kind: Pod, metadata: {name: %s, labels: {app: %s}}, spec: {terminationGracePeriodSeconds: 0, containers: [
  {name: main, image: "busybox:1", command: [sh, -c, %q]%s}]}}
`, name, app, command, more)
}

func shopService(name, spec string) string {
	return fmt.Sprintf("---\n{apiVersion: v1, kind: Service, metadata: {name: %s}, spec: {%s}}\n", name, spec)
}

const (
	httpd  = "mkdir -p /www; echo hello >/www/index.html; exec httpd -f -p 8080 -h /www"
	idle   = "exec sleep 1000000"
	port80 = "ports: [{port: 80, targetPort: 8080}]"
)

// faultyShop is what the faults of the API need.
func faultyShop() string {
	return shopPod("visitor", "visitor", idle, "") +
		shopPod("web", "web", httpd, `, ports: [{name: http, containerPort: 8080}]`) +
		shopPod("half-1", "half", httpd, "") + shopPod("half-2", "half", "exec nc -ll -p 8080 -e sleep 1000", "") +
		shopPod("sick", "sick", idle, `, readinessProbe: {exec: {command: ["false"]}, periodSeconds: 1}`) +
		shopPod("path", "path", httpd, `, readinessProbe: {httpGet: {path: /nosuch, port: 8080}, periodSeconds: 1}`) +
		shopPod("crash", "crash", "exit 3", "") +
		shopPod("lone", "lone", "exec httpd -f -p 127.0.0.1:8080 -h /", "") +
		shopPod("mute", "mute", idle, "") +
		`---
{apiVersion: v1, kind: Pod, metadata: {name: nowhere, labels: {app: nowhere}}, spec: {nodeSelector: {no: such}, containers: [{name: main, image: "busybox:1"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: image, labels: {app: image}}, spec: {containers: [{name: main, image: "registry.invalid/nosuch:1", imagePullPolicy: Never}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: nodns}, spec: {terminationGracePeriodSeconds: 0, dnsPolicy: Default, containers: [{name: main, image: "registry.k8s.io/pause:3.10"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: hostnet}, spec: {terminationGracePeriodSeconds: 0, hostNetwork: true, containers: [{name: main, image: "registry.k8s.io/pause:3.10"}]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: none}, spec: {replicas: 0, selector: {matchLabels: {app: none}}, template: {metadata: {labels: {app: none}}, spec: {containers: [{name: main, image: "busybox:1"}]}}}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: nobody-1, labels: {kubernetes.io/service-name: nobody}}, addressType: IPv4, ports: [{port: 8080, protocol: TCP}], endpoints: [{addresses: [10.244.0.253], conditions: {ready: true}}]}
` +
		shopService("selector", "selector: {app: wbe}, "+port80) + shopService("target", "selector: {app: web}, ports: [{port: 80, targetPort: 8081}]") +
		shopService("named", "selector: {app: web}, ports: [{port: 80, targetPort: htpp}]") + shopService("half", "selector: {app: half}, "+port80) +
		shopService("sick", "selector: {app: sick}, "+port80) + shopService("path", "selector: {app: path}, "+port80) +
		shopService("crash", "selector: {app: crash}, "+port80) + shopService("lone", "selector: {app: lone}, "+port80) +
		shopService("mute", "selector: {app: mute}, "+port80) + shopService("nowhere", "selector: {app: nowhere}, "+port80) +
		shopService("image", "selector: {app: image}, "+port80) + shopService("none", "selector: {app: none}, "+port80) +
		shopService("nobody", port80) + shopService("bare", port80) +
		shopService("udp", "selector: {app: web}, ports: [{port: 80, targetPort: 8080, protocol: UDP}]") +
		shopService("flat", "clusterIP: None, selector: {app: web}, "+port80) + shopService("empty", "clusterIP: None, selector: {app: wbe}, "+port80) +
		shopService("alias", "type: ExternalName, externalName: nosuch.default.svc.cluster.local") +
		shopService("outside", "type: NodePort, selector: {app: wbe}, "+port80) + shopService("door", "type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8081}]") +
		shopService("web", "selector: {app: web}, "+port80)
}

// apiFaults disturb nobody else.
var apiFaults = []fault{
	{name: "selector", url: "http://selector/", code: "k8s.selector_mismatch", says: "app=wbe"},
	{name: "selector, by address", url: "http://selector{}/", code: "k8s.selector_mismatch"},
	{name: "targetPort", url: "http://target/", code: "svc.wrong_target_port", says: "nothing listens on port 8081"},
	{name: "targetPort, by address", url: "http://target{}/", code: "svc.wrong_target_port"},
	{name: "targetPort by name", url: "http://named/", code: "k8s.no_such_port", says: "htpp"},
	{name: "probe that fails", url: "http://sick/", code: "k8s.not_ready", says: "probe"},
	{name: "probe of a wrong path", url: "http://path{}/", code: "k8s.not_ready", says: "probe"},
	{name: "crash", url: "http://crash/", code: "k8s.crash", says: "exit code 3"},
	{name: "no image", url: "http://image/", code: "k8s.not_ready", says: "ErrImageNeverPull"},
	{name: "no node", url: "http://nowhere/", code: "k8s.not_ready", says: "does not start"},
	{name: "scaled to 0", url: "http://none/", code: "svc.no_endpoints", says: "to have 0 of them"},
	{name: "neither selector nor endpoints", url: "http://bare/", code: "svc.no_endpoints", says: "no selector"},
	{name: "an endpoint that nobody has", url: "http://nobody/", code: "svc.dead_backend", says: "10.244.0.253"},
	{name: "one of two endpoints hangs", url: "http://half/", code: "svc.some_backends_dead", says: "half-2"},
	{name: "listens on loopback", url: "http://lone/", code: "tcp.listener_loopback"},
	{name: "listens on nothing", url: "http://mute/", code: "tcp.no_listener"},
	{name: "another port", url: "http://web:81/", code: "k8s.no_such_port", says: "80/TCP"},
	{name: "another port, by address", url: "http://web{}:81/", code: "k8s.no_such_port"},
	{name: "UDP only", url: "http://udp/", code: "k8s.no_such_port", says: "80/UDP"},
	{name: "headless, with a targetPort", url: "http://flat/", code: "svc.headless_port", says: "8080"},
	{name: "headless, another port", url: "http://flat:81/", code: "k8s.no_such_port"},
	{name: "headless and empty", url: "http://empty/", code: "k8s.selector_mismatch"},
	{name: "headless and empty, looked up", lookup: "empty", code: "k8s.selector_mismatch"},
	{name: "alias of nothing", url: "http://alias/", code: "k8s.external_name"},
	{name: "NodePort without pods", url: "http://node:outside{}/", code: "k8s.selector_mismatch"},
	{name: "NodePort to a closed port", url: "http://node:door{}/", code: "svc.wrong_target_port"},
	{name: "dnsPolicy Default", client: "nodns", url: "http://web/", code: "dns.not_cluster_dns", says: "dnsPolicy Default", others: []string{"dns.no_nameserver"}},
	{name: "hostNetwork with ClusterFirst, looked up", client: "hostnet", lookup: "web", code: "dns.not_cluster_dns", says: "ClusterFirstWithHostNet", others: []string{"dns.no_nameserver"}},
	{name: "service of another namespace", url: "http://kube-dns/", code: "k8s.other_namespace", says: "kube-system"},
	{name: "service of another namespace, looked up", lookup: "kube-dns", code: "k8s.other_namespace"},
}

// TestFaultsOfTheAPI: each fault is found by following the answers alone.
func TestFaultsOfTheAPI(t *testing.T) {
	t.Parallel()
	n := newNamespace(t, "faults")
	n.apply(t, faultyShop())
	for _, name := range []string{"visitor", "web", "half-1", "half-2", "lone", "mute", "nodns", "hostnet"} {
		n.until(t, name, "ready", (*pod).ready)
	}
	running := func(p *pod) bool { return len(p.all()) > 0 && p.all()[0].State.Running != nil }
	n.until(t, "sick", "running", running)
	n.until(t, "path", "running", running)
	n.until(t, "crash", "restarted", func(p *pod) bool { return len(p.all()) > 0 && p.all()[0].RestartCount > 0 })
	n.until(t, "image", "without its image", func(p *pod) bool { return p.waiting("ErrImageNeverPull") })
	n.until(t, "nowhere", "unschedulable", func(p *pod) bool {
		return slices.ContainsFunc(p.Status.Conditions, func(c struct{ Type, Status, Reason string }) bool { return c.Reason == "Unschedulable" })
	})
	c := serve(t)
	await(t, "the last service is served", func() bool {
		return outcome(c.ask(t, "netns_curl", args{"pod": "visitor", "namespace": string(n), "url": "http://web/"})) == "ok"
	})
	await(t, "the service without a right port refuses", func() bool {
		return outcome(c.ask(t, "netns_curl", args{"pod": "visitor", "namespace": string(n), "url": "http://named/"})) == "refused"
	})
	var found tally
	t.Run("found", func(t *testing.T) {
		for _, f := range apiFaults {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				if f.name == "one of two endpoints hangs" { // the other one answers
					const most = 30
					for range most {
						if a := c.ask(t, "netns_curl", args{"pod": "visitor", "namespace": string(n), "url": n.address(t, f.url)}); outcome(a) != "ok" {
							found.add(f.name, slices.ContainsFunc(a.Findings, func(x struct{ Code, Fact string }) bool {
								return x.Code == f.code && strings.Contains(x.Fact, f.says)
							}))
							return
						}
					}
					t.Errorf("none of %d requests came to the one that hangs", most)
					return
				}
				found.add(f.name, f.find(t, c, n))
			})
		}
	})
	found.judge(t, len(apiFaults))
}

// outcome is the outcome of a probe.
func outcome(a answer) string {
	word, _ := field[string](a, "outcome")
	return word
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"time"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/internal/mcpserve/mcpclient"
)

// demoLimit ends a demo that hangs.
const demoLimit = time.Minute

// demo shows the server at path.
func demo(ctx context.Context, path string, out, errOut io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, demoLimit)
	defer cancel()
	l, err := lab.New()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	engine, err := l.Node.Engine()
	if err != nil {
		return err
	}
	if err := allowDemo(engine.Host(), l.Node.Path); err != nil {
		return err
	}
	talk := &conversation{out: out}
	talk.say("A node made of namespaces, with these pods:\n\n")
	pods := demoPods()
	server := ""
	for i := range pods {
		pod, err := l.AddPod(pods[i].spec)
		if err != nil {
			return err
		}
		if pods[i].serve != nil {
			err = pods[i].serve(pod)
		} else if pods[i].fault != "" {
			err = pod.Break(pods[i].fault)
		}
		if err != nil {
			return fmt.Errorf("change pod %s: %w", pod.Name, err)
		}
		if pod.Name == demoServer {
			server = pod.IP.String()
		}
		talk.say("  %-16s %-14s %s\n", pod.Namespace+"/"+pod.Name, pod.IP, pods[i].about)
	}

	talk.client, err = startServer(ctx, path, errOut, "--docker-host", engine.Host(), "--host-netns", l.Node.Path, "--log-level", "warn")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, talk.client.Close()) }()
	talk.introduce(ctx)
	talk.pursue(ctx, "batch/worker-1", "Something on this node keeps crashing. What is here?", "resolve_pod_pid", nil)
	for _, p := range pods {
		if p.question == "" {
			continue
		}
		talk.pursue(ctx, p.spec.Namespace+"/"+p.spec.Name, p.question, "netns_curl", map[string]any{
			"pod": p.spec.Name, "namespace": p.spec.Namespace, "url": "http://" + server + p.port + "/", "timeout_ms": 5000,
		})
	}
	return talk.verdict()
}

// operatorFile is where the server looks for what it may do (docs/security.md).
const operatorFile = "/etc/nsenter-mcp.yaml"

// allowDemo puts an operator's file for the demo over that of this machine, which
// may allow less, and has nothing to say on pods that are not of this machine.
func allowDemo(dockerHost, netns string) error {
	if _, err := os.Lstat(operatorFile); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return lab.Cover(operatorFile, fmt.Sprintf("docker_host: %q\nhost_netns: %q\n", dockerHost, netns))
}

// demoServer is the pod that the others try to reach.
const demoServer = "api-7d9f"

// metricsPort is one that the server listens on too, but for itself alone.
const metricsPort = ":9090"

func serveDemo(p *lab.Pod) error {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello from "+demoServer+"\n")
	})
	_, err := p.Serve(":80", handler)
	_, metricsErr := p.Serve("127.0.0.1"+metricsPort, handler)
	return errors.Join(err, metricsErr)
}

// demoPod is a pod and what it is there to show.
type demoPod struct {
	about    string
	spec     lab.PodSpec
	serve    func(*lab.Pod) error // what it serves, nil for nothing
	fault    string               // of the table of faults, "" for none
	question string               // asked about its way to the server, "" for none
	port     string               // of the server, as ":9090"; "" for 80
}

// demoPods are healthy ones and some in trouble. What is wrong is not told to
// the server.
func demoPods() []demoPod {
	app := []lab.ContainerSpec{{Name: "app"}}
	return []demoPod{
		{
			about: "an HTTP server, routed as with Calico; its metrics port listens on 127.0.0.1 only",
			spec:  lab.PodSpec{Name: demoServer, Namespace: "shop", Style: lab.Calico, Containers: app},
			serve: serveDemo,
		},
		{
			about:    "on the node's bridge, healthy",
			spec:     lab.PodSpec{Name: "web-0", Namespace: "shop", Containers: app},
			question: "Does web-0 reach " + demoServer + "?",
		},
		{
			about:    "its veth was taken off the node's bridge",
			spec:     lab.PodSpec{Name: "cart-0", Namespace: "shop", Containers: app},
			fault:    "veth on no bridge",
			question: "Why does cart-0 not reach it?",
		},
		{
			about:    "wants the metrics of " + demoServer,
			spec:     lab.PodSpec{Name: "metrics-0", Namespace: "ops", Containers: app},
			question: "Why does metrics-0 get no metrics from it?",
			port:     metricsPort,
		},
		{
			about: "crashes again and again, and its veth is down on the host",
			spec: lab.PodSpec{Name: "worker-1", Namespace: "batch", Containers: []lab.ContainerSpec{
				{Name: "worker", State: lab.Exited, ExitCode: 1, Restarts: 7},
			}},
			fault: "node's end of the veth down",
		},
	}
}

// startServer starts the program at path as an MCP server.
func startServer(ctx context.Context, path string, log io.Writer, args ...string) (*mcpclient.Client, error) {
	server := exec.CommandContext(ctx, path, args...) //nolint:gosec // the operator of the demo names it
	server.Stderr = log
	return mcpclient.Start(ctx, server)
}

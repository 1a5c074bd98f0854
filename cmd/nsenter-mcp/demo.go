package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/internal/mcpserve/mcpclient"
)

const demoHelp = `Watch nsenter-mcp at work without a cluster: makes a node with three pods out of
network namespaces, starts itself as a server, and asks it as an agent would.

Nothing of this machine is touched or reached: all of it lives in namespaces
without a way out and ends with the command. It needs no root where user
namespaces are allowed.`

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "See it work, on pods made for the purpose",
		Long:  demoHelp,
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// This runs the program again in fresh namespaces and returns there.
			if err := lab.Isolate(); err != nil {
				return fmt.Errorf("make the demo's own namespaces: %w (root can; others where user namespaces are allowed)", err)
			}
			return demo(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// demoLimit ends a demo that hangs.
const demoLimit = time.Minute

func demo(ctx context.Context, out, errOut io.Writer) (err error) {
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
	talk := &conversation{out: out}
	talk.say("A node made of namespaces, with these pods:\n\n")
	pods := demoPods()
	for i := range pods {
		pod, err := l.AddPod(pods[i].spec)
		if err != nil {
			return err
		}
		talk.say("  %-16s %-14s %s\n", pod.Namespace+"/"+pod.Name, pod.IP, pods[i].about)
	}

	talk.client, err = startServer(ctx, errOut, "--docker-host", engine.Host(), "--host-netns", l.Node.Path, "--log-level", "warn")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, talk.client.Close()) }()
	talk.introduce(ctx)
	talk.ask(ctx, "What is here?", "resolve_pod_pid", nil)
	for _, p := range pods {
		target := map[string]any{"pod": p.spec.Name, "namespace": p.spec.Namespace}
		talk.ask(ctx, "Who is "+p.spec.Name+"?", "resolve_pod_pid", target)
		// What the answer itself proposes: the same pod's interfaces.
		talk.follow(ctx, "And its network?")
	}
	return talk.verdict()
}

// demoPod is a pod and what it is there to show.
type demoPod struct {
	about string
	spec  lab.PodSpec
}

// demoPods are one of each kind that is different for somebody who debugs it.
func demoPods() []demoPod {
	return []demoPod{
		{"on the node's bridge", lab.PodSpec{
			Name: "web-0", Namespace: "shop", Style: lab.Bridge,
			Containers: []lab.ContainerSpec{{Name: "nginx"}},
		}},
		{"routed as with Calico: a /32 and no bridge", lab.PodSpec{
			Name: "api-7d9f", Namespace: "shop", Style: lab.Calico,
			Containers: []lab.ContainerSpec{{Name: "api"}, {Name: "proxy"}},
		}},
		{"its container crashes again and again", lab.PodSpec{
			Name: "worker-1", Namespace: "jobs", Style: lab.Bridge,
			Containers: []lab.ContainerSpec{{Name: "worker", State: lab.Exited, ExitCode: 1, Restarts: 7}},
		}},
	}
}

// startServer starts this program as an MCP server.
func startServer(ctx context.Context, log io.Writer, args ...string) (*mcpclient.Client, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	server := exec.CommandContext(ctx, path, args...) //nolint:gosec // this very program
	server.Stderr = log
	return mcpclient.Start(ctx, server)
}

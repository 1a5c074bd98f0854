package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// cri is the little of crictl that a bed needs: what runs, under which process,
// and how to stop it all.
func cri(args []string) error {
	flags := flag.NewFlagSet("cri", flag.ExitOnError)
	socket := flags.String("r", os.Getenv("CONTAINER_RUNTIME_ENDPOINT"), "the runtime's socket, unix:///PATH")
	if err := flags.Parse(args); err != nil {
		return err
	}
	do, known := map[string]func(context.Context, runtime.RuntimeServiceClient) error{
		"version": criVersion, "pods": criPods, "ps": criContainers, "rmpods": criRemoveAll,
	}[flags.Arg(0)]
	if !known || flags.NArg() != 1 || *socket == "" {
		return errors.New("usage: kb cri -r unix:///SOCKET version|pods|ps|rmpods")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	conn, err := grpc.NewClient(*socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return do(ctx, runtime.NewRuntimeServiceClient(conn))
}

func criVersion(ctx context.Context, c runtime.RuntimeServiceClient) error {
	v, err := c.Version(ctx, &runtime.VersionRequest{})
	if err != nil {
		return err
	}
	fmt.Println(v.RuntimeName, v.RuntimeVersion, v.RuntimeApiVersion)
	return nil
}

// criPods prints ID, namespace/name, state, PID and address of each sandbox.
func criPods(ctx context.Context, c runtime.RuntimeServiceClient) error {
	all, err := c.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	for _, p := range all.Items {
		s, err := c.PodSandboxStatus(ctx, &runtime.PodSandboxStatusRequest{PodSandboxId: p.Id, Verbose: true})
		if status.Code(err) == codes.NotFound {
			continue // it went between the list and the question
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s/%s\t%s\tpid=%d\tip=%s\n", p.Id, p.Metadata.Namespace, p.Metadata.Name, p.State,
			pid(s.Info), s.Status.GetNetwork().GetIp())
	}
	return w.Flush()
}

// criContainers prints ID, name, attempt, state, PID and sandbox of each
// container.
func criContainers(ctx context.Context, c runtime.RuntimeServiceClient) error {
	all, err := c.ListContainers(ctx, &runtime.ListContainersRequest{})
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	for _, one := range all.Containers {
		s, err := c.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: one.Id, Verbose: true})
		if status.Code(err) == codes.NotFound {
			continue // it went between the list and the question
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\tattempt=%d\t%s\tpid=%d\tpod=%s\n", one.Id, one.Metadata.Name, one.Metadata.Attempt, one.State,
			pid(s.Info), one.PodSandboxId)
	}
	return w.Flush()
}

// criRemoveAll stops and removes every pod, as far as it can.
func criRemoveAll(ctx context.Context, c runtime.RuntimeServiceClient) error {
	all, err := c.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range all.Items {
		_, stop := c.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: p.Id})
		_, remove := c.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: p.Id})
		errs = append(errs, stop, remove)
	}
	return errors.Join(errs...)
}

// pid is the process that containerd's verbose information names, 0 for none.
func pid(info map[string]string) int {
	var known struct{ PID int }
	if err := json.Unmarshal([]byte(info["info"]), &known); err != nil {
		return 0
	}
	return known.PID
}

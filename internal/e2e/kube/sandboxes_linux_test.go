//go:build e2e

package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const containerd = "unix:///run/containerd/containerd.sock"

// TestSandboxesComeAndGo makes and removes 200 sandboxes directly over CRI, faster
// than a kubelet would, under names that are used again and again, while 8
// clients resolve and read them. Each answer must be about the sandbox that it
// says it is about. A slow machine makes fewer, but no less than 100.
func TestSandboxesComeAndGo(t *testing.T) {
	const total, least, workers, clients = 200, 100, 4, 8
	const enough = 90 * time.Second
	freeze(t, "kubelet") // it would remove what it does not know
	conn, err := grpc.NewClient(containerd, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	runtime := runtimeapi.NewRuntimeServiceClient(conn)
	name := func(i int) string { return fmt.Sprintf("box-%d", i%workers) }

	c := serve(t)
	c.fail(t, "not_found", "resolve_pod_pid", args{"pod": name(0), "namespace": "come-and-go"})
	before := weigh(t, c.pid)

	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	var refused atomic.Int64
	seen := make([][]sighting, clients)
	for k := range clients {
		asking.Go(func() {
			for i := k; ctx.Err() == nil; i++ {
				s, code, err := look(t.Context(), c, "come-and-go", name(i))
				switch {
				case err != nil:
					t.Errorf("%s: %v", name(i), err)
					return
				case code == "":
					seen[k] = append(seen[k], s)
				case slices.Contains(gone, code):
					refused.Add(1)
				default:
					t.Errorf("%s: code %s", name(i), code)
				}
			}
		})
	}

	// Each worker has a name of its own, as a kubelet never makes two sandboxes for
	// one name at a time.
	var known sync.Map // UID to the address and the name that the runtime tells
	var working sync.WaitGroup
	var made atomic.Int64
	began := time.Now()
	for w := range workers {
		working.Go(func() {
			for {
				i := made.Add(1)
				if i > total || i > least && time.Since(began) > enough {
					made.Add(-1)
					return
				}
				uid := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
				if err := oneSandbox(t.Context(), runtime, name(w), uid, &known); err != nil {
					t.Errorf("%s: %v", name(w), err)
				}
			}
		})
	}
	working.Wait()
	stop()
	asking.Wait()

	answers := slices.Concat(seen...)
	t.Logf("%d answers and %d refusals about %d sandboxes in %s", len(answers), refused.Load(), made.Load(), time.Since(began).Round(time.Second))
	if addressed := slices.DeleteFunc(slices.Clone(answers), func(s sighting) bool { return s.addresses == "" }); len(addressed) < 50 {
		t.Errorf("only %d answers of %d have an address", len(addressed), len(answers))
	}
	for _, s := range answers {
		want, ok := known.Load(s.uid)
		// Without an address: its network was just being taken down.
		if !ok || want != s.asked+" "+s.addresses && (s.addresses != "" || !strings.HasPrefix(want.(string), s.asked+" ")) {
			t.Fatalf("%+v: the runtime says %v", s, want)
		}
	}
	settled(t, c.pid, before)
}

// oneSandbox makes a sandbox, notes whose address it has, and removes it.
func oneSandbox(ctx context.Context, runtime runtimeapi.RuntimeServiceClient, name, uid string, known *sync.Map) error {
	const namespace = "come-and-go"
	config := &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{Name: name, Namespace: namespace, Uid: uid},
		Hostname: name,
		Labels: map[string]string{
			"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace, "io.kubernetes.pod.uid": uid,
		},
		LogDirectory: fmt.Sprintf("/var/log/pods/%s_%s_%s", namespace, name, uid),
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent: "/kubepods/besteffort/pod" + uid,
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: &runtimeapi.NamespaceOption{
				Network: runtimeapi.NamespaceMode_POD, Pid: runtimeapi.NamespaceMode_CONTAINER,
			}},
		},
	}
	made, err := runtime.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: config})
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	status, err := runtime.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: made.PodSandboxId})
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	known.Store(uid, name+" "+status.Status.GetNetwork().GetIp())
	if _, err := runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: made.PodSandboxId}); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if _, err := runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: made.PodSandboxId}); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	return nil
}

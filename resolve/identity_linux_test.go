package resolve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsenter-mcp/internal/lab"
)

// A container that is root on its own cgroups can make some below its own that are
// called like those of another pod. Nobody takes it for that pod.
func TestImitatedPod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	victim := w.Pod(t, lab.PodSpec{Containers: []lab.ContainerSpec{{Name: "app"}}})
	hostile := w.Container(t, lab.ContainerSpec{Name: "hostile"})
	app := victim.Containers[0]
	below := func(pod *lab.Pod, id string) string { return "/kubepods/burstable/pod" + pod.UID + "/" + id }
	for name, around := range map[string]string{
		"in a pod":       "/kubepods/burstable/pod" + uidHash + "/" + idB,
		"in a container": "/docker/" + idB,
		"in a session":   "/user.slice/user-1000.slice/user@1000.service",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			imitation := "0::" + around + below(victim, app.ID) + "\n"
			root := fakeProc(t, map[int]string{
				victim.PID:    "0::" + below(victim, victim.Sandbox.ID) + "\n",
				app.PID():     "0::" + below(victim, app.ID) + "\n",
				hostile.PID(): imitation,
			})
			r := w.resolverFor(t, Config{Root: root, Sources: []Source{NewCgroups(root)}})
			for _, q := range []Query{{Pod: victim.UID}, {Container: app.ID}} {
				target := open(t, r, q)
				inside(t, target, victim.Handle)
				if q.Pod != "" && len(target.Workload.Containers) != 2 {
					t.Errorf("%+v: %+v", q, target.Workload.Containers)
				}
			}
			// In the pod, the process is said to be of the container that it is in.
			if name != "in a pod" {
				return
			}
			pid := hostile.PID()
			target := open(t, r, Query{PID: &pid})
			if target.Workload.UID != uidHash || target.Workload.Containers[0].ID != idB || noted(target, "nested_container") == "" {
				t.Errorf("workload is %+v, notes %+v", target.Workload, target.Notes)
			}
			alone := fakeProc(t, map[int]string{hostile.PID(): imitation})
			r = w.resolverFor(t, Config{Root: alone, Sources: []Source{NewCgroups(alone)}})
			refused(t, r, Query{Pod: victim.UID}, KindNotFound)
			refused(t, r, Query{Container: app.ID}, KindNotFound)
		})
	}
}

// Two networks for one name are no choice.
func TestTwoNetworksOfOneName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pod := w.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}}})
	hostile := w.Container(t, lab.ContainerSpec{Name: "hostile"})
	app := pod.Containers[0]
	for name, imitation := range map[string]string{
		"of a container": "0::/chosen/kubepods/burstable/pod" + pod.UID + "/" + app.ID + "\n",
		"of a pod":       "0::/chosen/kubepods/burstable/pod" + pod.UID + "/" + idB + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := fakeProc(t, map[int]string{
				pod.PID: cgroupOf(pod.UID, pod.Sandbox.ID), app.PID(): cgroupOf(pod.UID, app.ID), hostile.PID(): imitation,
			})
			logs := filepath.Join(root, "var/log/pods", "shop_web-0_"+pod.UID, "app")
			if err := errors.Join(os.MkdirAll(logs, 0o755), os.WriteFile(filepath.Join(logs, "0.log"), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			for _, source := range []Source{NewCgroups(root), NewNodeFiles(w.Home, root)} {
				r := w.resolverFor(t, Config{Root: root, Sources: []Source{source}})
				e := refused(t, r, Query{Pod: pod.UID}, KindAmbiguous)
				if len(e.Candidates) != 2 || !strings.Contains(e.Message, "several networks") {
					t.Fatalf("%s: %s: %+v", source.Name(), e.Message, e.Candidates)
				}
				for _, c := range e.Candidates {
					if c.Netns == "" || c.PID == 0 {
						t.Errorf("%s: candidate %+v", source.Name(), c)
					}
				}
			}
			// Where a runtime tells which process it is, that counts.
			r := w.resolverFor(t, Config{Root: root, Sources: []Source{w.docker, NewCgroups(root)}})
			inside(t, open(t, r, Query{Pod: "web-0"}), pod.Handle)
		})
	}
}

// The same with what the kernel itself says of a process in real cgroups.
func TestImitatedPodInRealCgroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	victim, hostile := w.Container(t, lab.ContainerSpec{Name: "victim"}), w.Container(t, lab.ContainerSpec{Name: "hostile"})
	uid := fmt.Sprintf("%08x-0000-4000-8000-%012x", os.Getpid(), victim.PID())
	own := "kubepods/pod" + uid + "/" + idA
	mount := writableCgroups(t)
	group(t, mount, own, victim.PID())
	group(t, mount, "docker/"+hostile.ID+"/"+own, hostile.PID())
	root := rootWith(t, victim.PID(), hostile.PID())
	r := w.resolverFor(t, Config{Root: root, Sources: []Source{NewCgroups(root)}})
	inside(t, open(t, r, Query{Pod: uid}), victim.Netns().Handle)
}

// writableCgroups is where groups can be made here.
func writableCgroups(t *testing.T) string {
	t.Helper()
	for _, mount := range cgroupMounts {
		dir, err := os.MkdirTemp(mount, "nsenter-mcp-test-")
		if err != nil {
			continue
		}
		_ = os.Remove(dir)
		if _, err := os.Stat(filepath.Join(mount, "cgroup.procs")); err == nil && mount != "/sys/fs/cgroup/unified" {
			return mount
		}
	}
	t.Skip("no cgroups can be made here")
	return ""
}

// group puts a process into a cgroup until the end of the test.
func group(t *testing.T, mount, name string, pid int) {
	t.Helper()
	dir := mount
	var made []string
	for part := range strings.SplitSeq(name, "/") {
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); err == nil {
			made = append(made, dir)
		}
	}
	t.Cleanup(func() {
		// The process may still be there; in the root it is nobody's.
		_ = os.WriteFile(filepath.Join(mount, "cgroup.procs"), fmt.Append(nil, pid), 0)
		for i := range made {
			_ = os.Remove(made[len(made)-1-i])
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, pid), 0); err != nil {
		t.Skipf("no process can be moved to %s: %v", dir, err)
	}
}

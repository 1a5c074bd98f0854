package resolve

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

func BenchmarkResolve10(b *testing.B)   { benchmarkResolve(b, 10) }
func BenchmarkResolve1000(b *testing.B) { benchmarkResolve(b, 1000) }

// benchmarkResolve resolves one pod, and one container of it, among others. A
// third of the time goes into the engine, which filters all of them.
func benchmarkResolve(b *testing.B, among int) {
	w := newWorld(b)
	pods, err := w.AddPods(lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}}})
	if err != nil {
		b.Fatal(err)
	}
	w.engine.AddSynthetic(among - 1)
	for name, q := range map[string]Query{
		"pod":       {Pod: "web-0"},
		"container": {Container: pods[0].Containers[0].ID},
		"pid":       {PID: &pods[0].PID},
		"netns":     {Netns: pods[0].Path},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				target, err := w.resolver.Resolve(context.Background(), q)
				if err != nil {
					b.Fatal(err)
				}
				if err := target.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkContainer compares resolving a container, its network opened, with
// what the docker command takes to say its PID. Both ask the same engine.
func BenchmarkContainer(b *testing.B) {
	w := newWorld(b)
	c := w.Container(b, lab.ContainerSpec{Name: "db"})
	b.Run("resolve", func(b *testing.B) {
		for b.Loop() {
			target, err := w.resolver.Resolve(context.Background(), Query{Container: c.ID})
			if err != nil {
				b.Fatal(err)
			}
			if err := target.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	docker, err := exec.LookPath("docker")
	if err != nil {
		b.Logf("no docker command: %v", err)
		return
	}
	b.Run("docker-inspect", func(b *testing.B) {
		for b.Loop() {
			out, err := exec.Command(docker, "-H", w.engine.Host(), "inspect", "-f", "{{.State.Pid}}", c.ID).CombinedOutput()
			if err != nil || string(out) != strconv.Itoa(c.PID())+"\n" {
				b.Fatalf("%s, %v", out, err)
			}
		}
	})
}

// BenchmarkNodeFiles resolves one pod of 1,000 among 5,000 processes by the node's
// own files: by the cgroup file system, and where that does not show it, by a
// search of all processes.
func BenchmarkNodeFiles(b *testing.B) {
	w := newWorld(b)
	pods, err := w.AddPods(lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}}})
	if err != nil {
		b.Fatal(err)
	}
	p := pods[0]
	n := largeNode(b, p)
	for _, groups := range []bool{false, true} {
		name := "search"
		if groups {
			name = "cgroup"
			dir := "/sys/fs/cgroup/kubepods/burstable/pod" + p.UID + "/"
			n.group(dir+p.Sandbox.ID, p.PID)
			n.group(dir+p.Containers[0].ID, p.Containers[0].PID())
		}
		r := w.filesOnly(b, n.root)
		b.Run(name, func(b *testing.B) {
			before := cpuTime(b)
			for b.Loop() {
				target, err := r.Resolve(context.Background(), Query{Pod: "web-0"})
				if err != nil || target.PID() != p.PID {
					b.Fatal(target, err)
				}
				if err := target.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			ws, err := NewNodeFiles(w.Home, n.root).List(context.Background())
			if err != nil || len(ws) != 1000 {
				b.Fatal(len(ws), err)
			}
		}
	})
}

// cpuTime is what this process has used of the processors, which does not depend
// on what else the machine does.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// largeNode makes the files of a node with 1,000 pods, one of which is real, and
// 5,000 processes.
func largeNode(b *testing.B, pod *lab.Pod) nodeTree {
	b.Helper()
	app := pod.Containers[0]
	n := nodeTree{b, fakeProc(b, map[int]string{
		pod.PID: cgroupOf(pod.UID, pod.Sandbox.ID), app.PID(): cgroupOf(pod.UID, app.ID),
	})}
	n.pod(logOf(pod))
	n.log(containerLog{pod: logOf(pod), name: "app", id: app.ID})
	for i := range 999 {
		p := podLog{Namespace: "synthetic", Pod: fmt.Sprintf("pod-%d", i), UID: uidA[:24] + fmt.Sprintf("%012x", i)}
		n.pod(p)
		for j := range 5 {
			id := fakeID(fmt.Sprintf("%d-%d", i, j))
			if j < 2 {
				n.log(containerLog{pod: p, name: fmt.Sprintf("c%d", j), id: id})
			}
			// Above what Linux gives (PID_MAX_LIMIT), so that none is a real one's.
			n.write(fmt.Sprintf("/proc/%d/cgroup", maxPID+5*i+j), cgroupOf(p.UID, id))
		}
	}
	return n
}

// BenchmarkCgroups finds one container among 5,000 processes.
func BenchmarkCgroups(b *testing.B) {
	root := b.TempDir()
	for i := range 5000 {
		dir := filepath.Join(root, "proc", strconv.Itoa(i+1))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		cgroup := "0::/system.slice/some.service\n"
		if i%4 == 0 {
			cgroup = cgroupOf(uidA[:24]+fmt.Sprintf("%012x", i), fakeID(strconv.Itoa(i)))
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup"), []byte(cgroup), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	source := NewCgroups(root)
	for b.Loop() {
		ws, err := source.Exact(context.Background(), Query{Container: fakeID("4000")})
		if err != nil || len(ws) != 1 {
			b.Fatal(ws, err)
		}
	}
}

package resolve

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

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

//go:build e2e

package kube

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// laptop are the flags of a server that stands for one far from the cluster: it
// has a kubeconfig, and of the node it sees nothing.
func laptop(t *testing.T, via string) []string {
	t.Helper()
	return []string{"--host-root=" + t.TempDir(), "--via=" + via}
}

// TestViaSSH: from the laptop to a pod by its name alone, through a real sshd on
// the node; and what is said when the server there is killed in mid-call.
func TestViaSSH(t *testing.T) {
	t.Parallel()
	n := newNamespace(t, "via")
	n.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: far}, spec: {containers: [{name: mute, image: "busybox:1", command: [sh, -c, "exec nc -ll -p 9000 -e sleep 1000"]}]}}`)
	n.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: loop}, spec: {containers: [`+crasher+`]}}`)
	far := n.until(t, "far", "ready", (*pod).ready)
	loop := n.until(t, "loop", "crashing", func(p *pod) bool { return p.waiting("CrashLoopBackOff") })
	command, server := sshd(t)
	c := serve(t, laptop(t, command)...)

	for _, p := range []*pod{far, loop} {
		through(t, c, p)
	}

	t.Run("killed in mid-call", func(t *testing.T) {
		type result struct {
			answer
			err error
		}
		done := make(chan result, 1)
		go func() {
			a, err := c.try(t.Context(), "netns_curl", named(far, args{"url": "http://" + far.Status.PodIP + ":9000/", "timeout_ms": 40000}))
			done <- result{a, err}
		}()
		await(t, "the call has reached the pod", func() bool {
			return strings.Contains(n.exec(t, "far", "", "netstat", "-tn"), ":9000")
		})
		began := time.Now()
		if err := unix.Kill(server(), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		r := <-done
		if r.err != nil || r.Error == nil || r.Error.Code != "node_lost" {
			t.Errorf("%v: %s", r.err, r.raw)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("that was said after %s", took)
		}
		// A node that has just failed is left alone for a moment.
		await(t, "the next call finds a new server", func() bool {
			a, err := c.try(t.Context(), "netns_ip_addr", named(far, nil))
			return err == nil && a.Error == nil
		})
	})
}

// through asks for a pod from afar, and holds the answer against the API.
func through(t *testing.T, c *client, p *pod) {
	t.Helper()
	a := c.succeed(t, "netns_ip_addr", named(p, nil))
	if a.Target.Node != p.Spec.NodeName {
		t.Errorf("it is on node %q, the API says %s", a.Target.Node, p.Spec.NodeName)
	}
	if all := strings.Join(interfaces(t, a), "\n"); !strings.Contains(all, " "+p.Status.PodIP+"/24") {
		t.Errorf("%s\nhas not %s", all, p.Status.PodIP)
	}
}

// sshd starts one on the node's loopback and returns the command that leads to
// the program through it, with {node} in it, and who the program is then.
func sshd(t *testing.T) (command string, pid func() int) {
	t.Helper()
	dir := t.TempDir()
	host, user := filepath.Join(dir, "host"), filepath.Join(dir, "user")
	for _, key := range []string{host, user} {
		run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	}
	public, err := os.ReadFile(host + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	_ = l.Close()
	node := kubectl(t, "get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
	known := writeFile(t, fmt.Sprintf("%s %s", node, public))
	config := writeFile(t, fmt.Sprintf("ListenAddress 127.0.0.1\nPort %s\nHostKey %s\nAuthorizedKeysFile %s.pub\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM no\nStrictModes no\nPidFile none\n", port, host, user))
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // the node's own /run
		t.Fatal(err)
	}
	path, err := exec.LookPath("sshd")
	if err != nil {
		path = "/usr/sbin/sshd"
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command(path, "-D", "-e", "-f", config)
	daemon.Stderr = log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Signal(unix.SIGTERM)
		_ = daemon.Wait()
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("sshd said:\n%s", tail(text, 4000))
		}
	})
	await(t, "sshd listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	noteDir := t.TempDir()
	// The far end says who it is, for the test that kills it.
	wrapper := filepath.Join(noteDir, "far-end")
	note := filepath.Join(noteDir, "pid")
	script := fmt.Sprintf("#!/bin/sh\necho $$ >%s\nexec %s --kubeconfig=/dev/null\n", note, program())
	if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	command = strings.Join([]string{
		"ssh -F none -T -o BatchMode=yes -o HostName=127.0.0.1 -o HostKeyAlias={node}",
		"-o UserKnownHostsFile=" + known, "-i", user, "-p", port, "root@{node}", wrapper,
	}, " ")
	return command, func() int {
		text, err := os.ReadFile(note)
		if err != nil {
			t.Fatal(err)
		}
		id, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
}

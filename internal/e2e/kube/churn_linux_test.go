//go:build e2e

package kube

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// gone are the codes of an answer about a pod that is being replaced.
var gone = []string{"not_found", "no_sandbox", "not_running", "target_gone", "target_changed", "no_such_process", "zombie"}

// ledger knows which pod every UID that ever was belongs to, and its address.
type ledger struct {
	mu   sync.Mutex
	pods map[string]*pod
}

func (l *ledger) note(p *pod) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pods[p.Metadata.UID] = p
}

// sighting is what a client was told of one pod in two calls.
type sighting struct {
	asked, uid, addresses string
	how                   string // the target was found
}

// TestReplacedWhileAsked re-creates 20 pods under their old names, five at a
// time, while 8 clients resolve and read them: each answer must be about the pod
// that it says it is about.
func TestReplacedWhileAsked(t *testing.T) {
	const pods, clients, rounds = 20, 8, 1
	n := newNamespace(t, "replaced")
	name := func(i int) string { return fmt.Sprintf("again-%d", i) }
	manifest := func(i int) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name(i) + "}\nspec: {terminationGracePeriodSeconds: 0, containers: [{name: bare, image: \"registry.k8s.io/pause:3.10\"}]}\n"
	}
	known := &ledger{pods: map[string]*pod{}}
	create := func(from, to int) {
		var all strings.Builder
		for i := from; i < to; i++ {
			all.WriteString("---\n" + manifest(i))
		}
		n.apply(t, all.String())
		for i := from; i < to; i++ {
			known.note(n.until(t, name(i), "running", phase("Running")))
		}
	}
	create(0, pods)
	c := serve(t)
	c.succeed(t, "resolve_pod_pid", args{"pod": name(0), "namespace": string(n)})
	before := weigh(t, c.pid)

	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	var answered, refused atomic.Int64
	seen := make([][]sighting, clients)
	for k := range clients {
		asking.Go(func() {
			for i := k; ctx.Err() == nil; i++ {
				s, code, err := look(t.Context(), c, string(n), name(i%pods))
				switch {
				case err != nil:
					t.Errorf("%s: %v", name(i%pods), err)
					return
				case code == "":
					answered.Add(1)
					seen[k] = append(seen[k], s)
				case slices.Contains(gone, code):
					refused.Add(1)
				default:
					t.Errorf("%s: code %s", name(i%pods), code)
				}
			}
		})
	}
	const batch = 5
	for range rounds {
		for from := 0; from < pods; from += batch {
			line := []string{"delete", "pod"}
			for i := from; i < from+batch; i++ {
				line = append(line, name(i))
			}
			n.kubectl(t, line...)
			create(from, from+batch)
		}
	}
	stop()
	asking.Wait()

	t.Logf("%d answers and %d refusals about %d pods", answered.Load(), refused.Load(), len(known.pods))
	if len(known.pods) != pods*(1+rounds) {
		t.Errorf("%d pods were made, want %d", len(known.pods), pods*(1+rounds))
	}
	if answered.Load() < 100 {
		t.Errorf("only %d answers", answered.Load())
	}
	for _, s := range slices.Concat(seen...) {
		p := known.pods[s.uid]
		switch {
		case p == nil:
			t.Fatalf("%+v: nobody ever had this UID", s)
		case p.Metadata.Name != s.asked:
			t.Fatalf("%+v: this is pod %s", s, p.Metadata.Name)
		case s.addresses != p.Status.PodIP && s.addresses != "": // none while it is taken down
			t.Fatalf("%+v: this pod had %s", s, p.Status.PodIP)
		}
	}
	settled(t, c.pid, before)
}

// look resolves a pod and then reads the addresses of that very network.
func look(ctx context.Context, c *client, namespace, name string) (s sighting, code string, err error) {
	who, err := c.try(ctx, "resolve_pod_pid", args{"pod": name, "namespace": namespace})
	if err != nil || who.Error != nil {
		return s, codeOf(who), err
	}
	what, err := c.try(ctx, "netns_ip_addr", args{"pod": name, "namespace": namespace, "expect": who.Target.NetnsCookie})
	if err != nil || what.Error != nil {
		return s, codeOf(what), err
	}
	s.asked, s.how = name, fmt.Sprintf("%+v %s", what.Target, who.Data)
	if s.uid, err = field[string](who, "uid"); err != nil {
		return s, "", err
	}
	links, err := field[[]link](what, "interfaces")
	for _, l := range links {
		for _, a := range l.AddrInfo {
			if l.Ifname == "eth0" && a.Family == "inet" {
				s.addresses += a.Local
			}
		}
	}
	return s, "", err
}

func codeOf(a answer) string {
	if a.Error == nil {
		return ""
	}
	return a.Error.Code
}

// weight is what a server could leak.
type weight struct {
	fds, threads int
	networks     []string // namespaces that it holds open
}

func weigh(t testing.TB, pid int) weight {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", pid)
	fds, err := os.ReadDir(dir + "fd")
	if err != nil {
		t.Fatal(err)
	}
	threads, err := os.ReadDir(dir + "task")
	if err != nil {
		t.Fatal(err)
	}
	w := weight{fds: len(fds), threads: len(threads)}
	for _, fd := range fds {
		if to, err := os.Readlink(dir + "fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "net:[") {
			w.networks = append(w.networks, to)
		}
	}
	slices.Sort(w.networks)
	return w
}

// settled waits until the server holds no more than before.
func settled(t testing.TB, pid int, before weight) {
	t.Helper()
	// The runtime keeps threads that were once needed at the same time.
	const spare = 32
	await(t, fmt.Sprintf("the server holds no more than %+v", before), func() bool {
		now := weigh(t, pid)
		return now.fds <= before.fds && slices.Equal(now.networks, before.networks) && now.threads <= before.threads+spare
	})
}

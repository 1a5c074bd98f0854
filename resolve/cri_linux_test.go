package resolve

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

// criWorld is a lab whose pods are known by a runtime, and a resolver for its
// first node.
type criWorld struct {
	*lab.Lab
	runtime  *lab.Runtime
	source   *CRI
	resolver *Resolver
}

func newCRIWorld(tb testing.TB, kind lab.RuntimeKind) *criWorld {
	tb.Helper()
	w := &criWorld{Lab: lab.Start(tb)}
	var err error
	if w.runtime, err = lab.StartRuntime(w.Node, kind); err != nil {
		tb.Fatal(err)
	}
	w.source = criAt(tb, w.runtime.Endpoint())
	w.resolver = w.resolverOf(tb, w.source)
	return w
}

func (w *criWorld) resolverOf(tb testing.TB, sources ...Source) *Resolver {
	tb.Helper()
	plain := world{Lab: w.Lab}
	return plain.resolverFor(tb, Config{Sources: sources, AllowHostNetwork: true})
}

// criAt is the source for one endpoint, for the time of a test.
func criAt(tb testing.TB, endpoint string) *CRI {
	tb.Helper()
	all, err := NewCRI(CRIOptions{Endpoint: endpoint})
	if err != nil || len(all) != 1 {
		tb.Fatalf("got %d sources, %v", len(all), err)
	}
	return all[0]
}

// hasPath: the runtime tells where the network is pinned.
func hasPath(kind lab.RuntimeKind) bool { return kind != lab.CRIDockerd }

func TestCRIRuntimes(t *testing.T) {
	t.Parallel()
	for _, kind := range lab.RuntimeKinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newCRIWorld(t, kind)
			w.resolver.limits.identify = time.Minute // a busy machine may need it
			w.runtime.AddSynthetic(3)
			w.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "other"})
			p := w.Pod(t, lab.PodSpec{
				Name: "web-0", Namespace: "shop", Attempt: 2, Annotations: map[string]string{annotationDefault: "front"},
				Files: lab.FileSpec{ResolvConf: "nameserver 10.1.2.3\n"},
				Containers: []lab.ContainerSpec{
					{Name: "init", State: lab.Exited}, {Name: "front", Restarts: 3, Files: lab.FileSpec{ResolvConf: "nameserver 10.1.2.3\n"}},
					{Name: "crash", State: lab.Exited, ExitCode: 3, Restarts: 7}, {Name: "bad", State: lab.Created, Error: "exec: no such file"},
				},
			})
			app := p.Containers[1]
			target := open(t, w.resolver, Query{Pod: "web-0", Namespace: "shop", Describe: true})
			inside(t, target, p.Handle)
			if hasPath(kind) != (target.NetnsPath == p.Path) {
				t.Errorf("entered by path %q, the pod's is %s", target.NetnsPath, p.Path)
			}
			checkPod(t, w.runtime, target, p)
			reads(t, target, "/etc/resolv.conf", "nameserver 10.1.2.3\n")
			for name, q := range map[string]Query{
				"container ID":     {Container: app.ID},
				"described":        {Container: app.ID, Describe: true},
				"start of ID":      {Container: app.ID[:13]},
				"name":             {Container: "front"},
				"in the pod":       {Pod: "shop/web-0", Container: "front"},
				"UID":              {Pod: p.UID},
				"sandbox as pod":   {Pod: p.Sandbox.ID},
				"sandbox":          {Container: p.Sandbox.ID},
				"start of the pod": {Pod: "web", Namespace: "shop"},
			} {
				target := open(t, w.resolver, q)
				inside(t, target, p.Handle)
				if target.Workload.UID != p.UID || target.Workload.Namespace != "shop" {
					t.Errorf("%s: got pod %s, want shop/web-0", name, target.Workload.podName())
				}
				if q.Container != "" && q.Container != p.Sandbox.ID && target.Container != "front" {
					t.Errorf("%s: got container %q, want front", name, target.Container)
				}
			}
			refused(t, w.resolver, Query{Pod: "web-0"}, KindAmbiguous)
			refused(t, w.resolver, Query{Pod: "web-1"}, KindNotFound)
			refused(t, w.resolver, Query{Container: fakeID("nobody")}, KindNotFound)
			if version, err := w.source.Version(t.Context()); err != nil || !strings.ContainsAny(version, "123456789") {
				t.Errorf("version %q, %v", version, err)
			}
		})
	}
}

// checkPod holds what is said of the pod of TestCRIRuntimes against what it is.
func checkPod(t *testing.T, runtime *lab.Runtime, target *Target, p *lab.Pod) {
	t.Helper()
	kind, vmm := runtime.Kind, runtime.VMM(p)
	w := &target.Workload
	app := p.Containers[1]
	pid, sandboxPID := app.PID(), p.PID
	switch kind {
	case lab.Kata, lab.KataRust, lab.CRIOKata:
		pid, sandboxPID = 0, vmm // which is not the container's
		if noted(target, "vm_runtime") == "" || target.App != nil || w.Sandbox.Runtime != "kata" {
			t.Errorf("runtime %q, files of %+v, notes %v", w.Sandbox.Runtime, target.App, target.Notes)
		}
		if entered := target.PID() == vmm; entered == (kind == lab.KataRust) {
			t.Errorf("process %d stands for the pod, the runtime names %d", target.PID(), vmm)
		}
	case lab.CRIO, lab.CRIDockerd:
		sandboxPID = 0
	}
	if s := w.Sandbox; s.ID != p.Sandbox.ID || s.PID != sandboxPID || s.Attempt != 2 || s.State != StateRunning {
		t.Errorf("sandbox is %+v, want pid %d", s, sandboxPID)
	}
	if w.Pod != "web-0" || w.UID != p.UID || w.DefaultContainer != "front" || w.HostNetwork || len(w.Containers) != 4 {
		t.Fatalf("got %+v", w)
	}
	zero, three, failed := 0, 3, 128
	for i, want := range []Container{
		{Name: "init", State: StateExited, Reason: "Completed", ExitCode: &zero},
		{Name: "front", State: StateRunning, Restarts: 3, PID: pid},
		{Name: "crash", State: StateExited, Reason: "Error", ExitCode: &three, Restarts: 7},
		{Name: "bad", State: StateExited, Reason: "StartError", ExitCode: &failed, Message: "exec: no such file"},
	} {
		got := w.Containers[i]
		if got.ID != p.Containers[i].ID || got.Image != p.Containers[i].Image || got.Name != want.Name || got.State != want.State ||
			got.Reason != want.Reason || got.Restarts != want.Restarts || got.PID != want.PID || got.Message != want.Message ||
			(got.ExitCode == nil) != (want.ExitCode == nil) || got.ExitCode != nil && *got.ExitCode != *want.ExitCode {
			t.Errorf("container %d is %+v, want %+v", i, got, want)
		}
	}
}

// The one process that a virtual machine's runtime names may not be in the pod's
// network. It leads nobody into the node's, also where no path is known.
func TestCRIShim(t *testing.T) {
	t.Parallel()
	w := newCRIWorld(t, lab.KataRust)
	p := w.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}}})
	known, err := w.source.Exact(t.Context(), Query{Pod: "web-0"})
	if err != nil || len(known) != 1 || known[0].Sandbox.PID != w.runtime.VMM(p) {
		t.Fatalf("got %+v, %v", known, err)
	}
	pathless := known[0]
	sandbox := *pathless.Sandbox
	sandbox.NetnsPath, pathless.Sandbox = "", &sandbox
	r := w.resolverOf(t, knows("cri", 0, pathless))
	e := refused(t, r, Query{Pod: "web-0"}, KindGone)
	if !strings.Contains(e.Message, "from the node's own network") {
		t.Errorf("got %q", e.Message)
	}
	inside(t, open(t, w.resolver, Query{Pod: "web-0"}), p.Handle)
}

// A sandbox without a process is entered where its network is pinned.
func TestCRIPauseless(t *testing.T) {
	t.Parallel()
	w := newCRIWorld(t, lab.CRIO)
	conf := lab.FileSpec{ResolvConf: "nameserver 10.7.7.7\n"}
	p := w.Pod(t, lab.PodSpec{Name: "web-0", Files: conf, Containers: []lab.ContainerSpec{{Name: "app", Files: conf}}})
	if err := p.Sandbox.Kill(); err != nil {
		t.Fatal(err)
	}
	target := open(t, w.resolver, Query{Pod: "web-0"})
	inside(t, target, p.Handle)
	if target.Via != ViaSandbox || target.NetnsPath != p.Path || target.PID() != p.Containers[0].PID() || target.FilesFrom != "container app" {
		t.Errorf("via %s, path %s, pid %d, files of %s", target.Via, target.NetnsPath, target.PID(), target.FilesFrom)
	}
	// Nothing runs any more; CRI-O still tells the number of the last process.
	if err := p.Containers[0].Exit(1); err != nil {
		t.Fatal(err)
	}
	target = open(t, w.resolver, Query{Pod: "web-0"})
	inside(t, target, p.Handle)
	if target.PID() != 0 || target.Workload.Containers[0].PID != 0 {
		t.Errorf("pid %d, container %+v, want none", target.PID(), target.Workload.Containers[0])
	}
	reads(t, target, "/etc/resolv.conf", "nameserver 10.7.7.7\n")
}

func TestCRIHostNetwork(t *testing.T) {
	t.Parallel()
	for _, kind := range []lab.RuntimeKind{lab.Containerd17, lab.CRIO} {
		w := newCRIWorld(t, kind)
		p := w.Pod(t, lab.PodSpec{Name: "agent", Style: lab.HostNetwork})
		if kind == lab.CRIO { // no pause process, and no container that runs
			if err := p.Sandbox.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		target := open(t, w.resolver, Query{Pod: "agent"})
		inside(t, target, w.Node.Handle)
		if !target.HostNetwork || !target.Workload.HostNetwork || target.NetnsPath != "" {
			t.Errorf("%s: host network %v, said %v, path %q", kind, target.HostNetwork, target.Workload.HostNetwork, target.NetnsPath)
		}
		closed := (&world{Lab: w.Lab}).resolverFor(t, Config{Sources: []Source{w.source}})
		refused(t, closed, Query{Pod: "agent"}, KindHostNetworkDenied)
	}
}

// The newest sandbox that is ready is the pod's, the others are listed.
func TestCRIAttempts(t *testing.T) {
	t.Parallel()
	w := newCRIWorld(t, lab.Containerd17)
	uid := uidA
	old := w.Pod(t, lab.PodSpec{Name: "web-0", UID: uid, Containers: []lab.ContainerSpec{{Name: "app", State: lab.Exited, ExitCode: 1}}})
	if err := old.Sandbox.Kill(); err != nil {
		t.Fatal(err)
	}
	e := refused(t, w.resolver, Query{Pod: "web-0"}, KindNotRunning)
	if !strings.Contains(e.Message, "sandbox of pod default/web-0 has exited") {
		t.Errorf("got %q", e.Message)
	}
	now := w.Pod(t, lab.PodSpec{Name: "web-0", UID: uid, Attempt: 1, Containers: []lab.ContainerSpec{{Name: "app", Restarts: 1}}})
	target := open(t, w.resolver, Query{Pod: "web-0"})
	inside(t, target, now.Handle)
	if a := target.Workload.Attempts; len(a) != 1 || a[0].ID != old.Sandbox.ID || a[0].State != StateExited || noted(target, "older_attempts") == "" {
		t.Errorf("older ones are %+v", a)
	}
	if c := target.Workload.Containers; len(c) != 1 || c[0].ID != now.Containers[0].ID || c[0].Restarts != 1 || !c[0].CrashedLately(time.Now()) {
		t.Errorf("containers are %+v", c)
	}
	// Created again: another UID, while the old one is still there.
	later := w.Pod(t, lab.PodSpec{Name: "web-0"})
	target = open(t, w.resolver, Query{Pod: "web-0"})
	inside(t, target, later.Handle)
	if noted(target, "older_pod") == "" {
		t.Error("no word of the older pod")
	}
}

// The number of requests depends on the pod alone, not on how many there are.
func TestCRIRequestsDoNotGrow(t *testing.T) {
	t.Parallel()
	w := newCRIWorld(t, lab.Containerd17)
	p := w.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}, {Name: "side"}}})
	w.runtime.AddSynthetic(10)
	tests := []struct {
		query Query
		most  int
	}{
		{Query{Pod: "web-0"}, 5},
		{Query{Pod: "default/web-0", Container: "app", Describe: true}, 5},
		{Query{Pod: p.UID}, 5},
		{Query{Container: p.Containers[0].ID}, 3},
		{Query{Container: p.Containers[0].ID, Describe: true}, 7},
		{Query{Container: "side"}, 6},
		{Query{Container: p.Containers[0].ID[:12]}, 8}, // its name, two lists, the pod
	}
	count := func(q Query) (string, int) {
		w.runtime.ResetRequests()
		_ = open(t, w.resolver, q)
		sum := 0
		for _, n := range w.runtime.Requests() {
			sum += n
		}
		return fmt.Sprint(w.runtime.Requests()), sum
	}
	var few []string
	for _, test := range tests {
		said, sum := count(test.query)
		if sum > test.most {
			t.Errorf("%+v: %s, want at most %d", test.query, said, test.most)
		}
		few = append(few, said)
	}
	w.runtime.AddSynthetic(990)
	for i, test := range tests {
		if many, _ := count(test.query); many != few[i] {
			t.Errorf("%+v: %s with 10 pods, %s with 1,000", test.query, few[i], many)
		}
	}
}

// A runtime that accepts and never answers is named, and holds up nobody.
func TestCRIHangs(t *testing.T) {
	t.Parallel()
	w := newCRIWorld(t, lab.Containerd2)
	p := w.Pod(t, lab.PodSpec{Name: "web-0"})
	l, path := listen(t)
	go func() {
		var kept []net.Conn // one that nothing refers to is closed by the garbage collector
		for {
			conn, err := l.Accept()
			if err != nil {
				break
			}
			kept = append(kept, conn)
		}
		for _, conn := range kept {
			_ = conn.Close()
		}
	}()
	silent, hung := criAt(t, path), criAt(t, w.runtime.Endpoint())
	silent.name, hung.name = "k3s", "cri-o"
	_ = open(t, w.resolverOf(t, hung), Query{Pod: "web-0"}) // connects
	other, err := lab.StartRuntime(w.Node, lab.Containerd17)
	if err != nil {
		t.Fatal(err)
	}
	w.runtime.SetHang(true)
	good := criAt(t, other.Endpoint())
	good.name = "containerd"
	both := w.resolverOf(t, silent, hung, good)
	both.limits = defaultLimits()
	both.limits.grace = 10 * time.Millisecond
	target := open(t, both, Query{Pod: "web-0"})
	inside(t, target, p.Handle)
	if n := noted(target, "source_failed"); !strings.Contains(n, "no answer within") {
		t.Errorf("noted %q", n)
	}
	for name, source := range map[string]*CRI{"k3s": silent, "cri-o": hung} {
		alone := w.resolverOf(t, source)
		alone.limits = defaultLimits()
		began := time.Now()
		e := refused(t, alone, Query{Pod: "web-0"}, KindSource)
		if took := time.Since(began); !strings.Contains(e.Message, name+": ") || took > 30*time.Second {
			t.Errorf("%q after %s", e.Message, took)
		}
	}
	w.runtime.SetHang(false)
	inside(t, open(t, w.resolverOf(t, hung), Query{Pod: "web-0"}), p.Handle)
}

// A runtime that was restarted is found again at once.
func TestCRIComesBack(t *testing.T) {
	t.Parallel()
	w := newCRIWorld(t, lab.Containerd17)
	p := w.Pod(t, lab.PodSpec{Name: "web-0"})
	for range 3 {
		inside(t, open(t, w.resolver, Query{Pod: "web-0"}), p.Handle)
		var err error
		if w.runtime, err = w.runtime.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	inside(t, open(t, w.resolver, Query{Pod: "web-0"}), p.Handle)
	if err := w.runtime.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		e := refused(t, w.resolver, Query{Pod: "web-0"}, KindSource)
		if !strings.Contains(e.Message, "no such socket") && !strings.Contains(e.Message, "does not run") {
			t.Errorf("got %q", e.Message)
		}
	}
	// Whoever had the socket was killed and has left it.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.runtime.Socket})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	if e := refused(t, w.resolver, Query{Pod: "web-0"}, KindSource); !strings.Contains(e.Message, "nobody listens") {
		t.Errorf("got %q", e.Message)
	}
}

// Pods of few names come and go while they are asked for: whatever is answered
// is of one pod, whole.
func TestCRIChurn(t *testing.T) {
	t.Parallel()
	const names, clients, total = 4, 8, 200
	w := newCRIWorld(t, lab.Containerd17)
	var cookies sync.Map // UID to the cookie of the pod's network
	var done atomic.Bool
	var resolved, missed atomic.Int64
	var busy sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for i := range clients {
		busy.Go(func() {
			for n := i; !done.Load() && ctx.Err() == nil; n++ {
				target, err := w.resolver.Resolve(ctx, Query{Pod: fmt.Sprintf("web-%d", n%names)})
				if err != nil {
					missed.Add(1)
					continue
				}
				resolved.Add(1)
				checkChurned(ctx, t, target, &cookies)
				if err := target.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	pods := make([]*lab.Pod, names)
	for i := range total {
		uid := fmt.Sprintf("%08x-0000-4000-8000-000000000000", i)
		conf := lab.FileSpec{ResolvConf: "# " + uid + "\n"}
		spec := lab.PodSpec{Name: fmt.Sprintf("web-%d", i%names), UID: uid, Style: lab.Plain, Files: conf}
		if i/names%4 == 0 {
			spec.Containers = []lab.ContainerSpec{{Name: "app", Files: conf}}
		}
		if old := pods[i%names]; old != nil {
			if err := old.Delete(); err != nil {
				t.Fatal(err)
			}
		}
		p, err := w.AddPod(spec)
		if err != nil {
			t.Fatal(err)
		}
		cookies.Store(uid, p.Handle.Identity().Cookie)
		pods[i%names] = p
	}
	done.Store(true)
	busy.Wait()
	t.Logf("%d resolved, %d in between", resolved.Load(), missed.Load())
	if resolved.Load() < total/2 {
		t.Errorf("only %d were resolved at all", resolved.Load())
	}
}

func checkChurned(ctx context.Context, t *testing.T, target *Target, cookies *sync.Map) {
	uid := target.Workload.UID
	cookie, known := cookies.Load(uid)
	if got := target.Net.Identity().Cookie; known && got != cookie {
		t.Errorf("pod %s: entered the network with cookie %d, its own has %v", uid, got, cookie)
	}
	file, err := target.ReadFile(ctx, "/etc/resolv.conf", 100)
	if err == nil && string(file.Data) != "# "+uid+"\n" {
		t.Errorf("pod %s: got the files of %q", uid, file.Data)
	}
	if i := slices.IndexFunc(target.Workload.Containers, func(c Container) bool { return c.Name != "app" }); i >= 0 {
		t.Errorf("pod %s: got %+v", uid, target.Workload.Containers[i])
	}
}

// Nothing stays open, and no goroutine behind.
func TestCRILeavesNothing(t *testing.T) { // not parallel: counts what the process has
	w := newCRIWorld(t, lab.Containerd17)
	w.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}}})
	round := func() {
		for _, q := range []Query{{Pod: "web-0"}, {Pod: "nope"}, {Container: "app"}} {
			if target, err := w.resolver.Resolve(t.Context(), q); err == nil {
				if err := target.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
	round()
	before := settledFDs(t)
	for range 10 {
		round()
	}
	if after := settledFDs(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// A list has no exit codes: what crashes is told from what has ended well by asking.
func TestCRIListTellsTrouble(t *testing.T) {
	t.Parallel()
	for _, kind := range []lab.RuntimeKind{lab.Containerd2, lab.CRIO, lab.CRIDockerd} {
		w := newCRIWorld(t, kind)
		w.runtime.AddSynthetic(20)
		init := lab.ContainerSpec{Name: "init", State: lab.Exited}
		w.Pod(t, lab.PodSpec{Name: "well", Containers: []lab.ContainerSpec{init, {Name: "app"}}})
		w.Pod(t, lab.PodSpec{Name: "crashing", Containers: []lab.ContainerSpec{init, {Name: "app", State: lab.Exited, ExitCode: 1, Restarts: 4}}})
		w.Pod(t, lab.PodSpec{Name: "failed", Containers: []lab.ContainerSpec{{Name: "app"}, {Name: "other", State: lab.Exited, ExitCode: 1}}})
		w.Pod(t, lab.PodSpec{Name: "no-image"})
		list, err := w.resolver.Pods(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for i := range list.Pods {
			if p := &list.Pods[i]; p.Namespace != "synthetic" || p.Troubled() {
				got[p.Pod] = p.severity()
			}
		}
		want := map[string]int{"well": 3, "crashing": 0, "failed": 1, "no-image": 2}
		if !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", kind, got, want)
		}
		if list.Pods[0].Pod != "crashing" {
			t.Errorf("%s: first is %s", kind, list.Pods[0].Pod)
		}
		// Without the time for it the list is as good as it was.
		w.runtime.SetDelay(300 * time.Millisecond)
		if list, err := w.resolver.Pods(t.Context(), false); err != nil || list.Total != 24 {
			t.Errorf("%s: %d pods, %v", kind, list.Total, err)
		}
	}
}

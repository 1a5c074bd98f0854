package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
)

func TestMain(m *testing.M) { lab.TestMain(m) }

func tool(name string, capabilities ...string) dispatch.Tool {
	return dispatch.Tool{Spec: dispatch.Spec{Name: name, Capabilities: capabilities}}
}

func here(t *testing.T) Config {
	t.Helper()
	home, err := nsexec.NewHome()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = home.Close() })
	return Config{
		Home: home, Host: home.Self(), HostRoot: "/",
		Tools:      []dispatch.Tool{tool("look", "CAP_SYS_ADMIN"), tool("probe", "CAP_SYS_ADMIN", "CAP_NET_RAW")},
		Executable: "/opt/nsenter-mcp",
		Sources: func(context.Context) (resolve.Inventory, error) {
			return resolve.Inventory{Sources: []resolve.SourceState{{Name: "docker", State: "ok", Workloads: 3, MS: 1.25}}}, nil
		},
		Kubernetes: func(context.Context) (resolve.KubeReport, error) {
			return resolve.KubeReport{Server: "192.0.2.1:6443", Node: "node-1"}, nil
		},
	}
}

func (r Report) status(id string) Status {
	for _, c := range r.Checks {
		if c.ID == id {
			return c.Status
		}
	}
	return ""
}

func TestRunEntersAndComesBack(t *testing.T) {
	t.Parallel()
	r := Run(t.Context(), here(t))
	for _, id := range []string{"kernel", "enter", "cap_sys_admin", "host_root", "source.docker"} {
		if r.status(id) != OK {
			t.Errorf("%s: %q", id, r.status(id))
		}
	}
	if !r.OK || r.Tools[0].State != Works {
		t.Errorf("%+v", r)
	}
}

func TestRunFindsNoProcesses(t *testing.T) {
	t.Parallel()
	cfg := here(t)
	cfg.HostRoot = t.TempDir()
	r := Run(t.Context(), cfg)
	if r.OK || r.status("host_root") != Fail || r.status("pid_namespace") != Warn || r.status("host_network") != Info {
		t.Errorf("%+v", r.Checks)
	}
	if r.Tools[0].State != Broken || !slices.Equal(r.Tools[0].Lacks, []string{"host_root"}) {
		t.Errorf("%+v", r.Tools)
	}
}

func TestHostNetworkIsNotTheNodes(t *testing.T) {
	t.Parallel()
	cfg := here(t)
	f, err := newNamespace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	other, err := cfg.Home.OpenPath(t.Context(), fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	// A process of the test stands for PID 1, whose link may be closed.
	root := t.TempDir()
	for _, dir := range []string{"proc", "proc/1", "proc/1/ns"} {
		if err := unix.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Symlink("/proc/self/ns/net", filepath.Join(root, "proc/1/ns/net")); err != nil {
		t.Fatal(err)
	}
	if c := hostNetwork(root, cfg.Home.Self()); c.Status != OK {
		t.Errorf("%+v", c)
	}
	if c := hostNetwork(root, other); c.Status != Warn || !strings.Contains(c.Fix, "--host-netns") {
		t.Errorf("%+v", c)
	}
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	list := []dispatch.Tool{tool("a", "CAP_SYS_ADMIN"), tool("b", "CAP_SYS_ADMIN", "CAP_NET_RAW")}
	all := ^uint64(0)
	for _, c := range []struct {
		name      string
		effective uint64
		status    map[string]Status
		missing   []string
	}{
		{"all", all, map[string]Status{"cap_sys_admin": OK, "cap_net_raw": OK, "cap_net_admin": OK}, nil},
		{"none", 0, map[string]Status{"cap_sys_admin": Fail, "cap_net_raw": Warn, "cap_net_admin": Info}, []string{"CAP_SYS_ADMIN", "CAP_NET_RAW"}},
		{"no raw", all &^ (1 << unix.CAP_NET_RAW), map[string]Status{"cap_sys_admin": OK, "cap_net_raw": Warn}, []string{"CAP_NET_RAW"}},
	} {
		checks, missing := capabilities(c.effective, list)
		r := Report{Checks: checks}
		for id, want := range c.status {
			if got := r.status(id); got != want {
				t.Errorf("%s: %s is %s, want %s", c.name, id, got, want)
			}
		}
		if !slices.Equal(missing, c.missing) {
			t.Errorf("%s: missing %v, want %v", c.name, missing, c.missing)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	list := []dispatch.Tool{tool("a", "CAP_SYS_ADMIN"), tool("b", "CAP_SYS_ADMIN", "CAP_NET_RAW")}
	for _, c := range []struct {
		name    string
		checks  []Check
		missing []string
		ok      bool
		states  [2]ToolState
	}{
		{"all there", nil, nil, true, [2]ToolState{Works, Works}},
		{"one lacks something", []Check{{ID: "cap_net_raw", Status: Warn}}, []string{"CAP_NET_RAW"}, true, [2]ToolState{Works, Limited}},
		{"essential", []Check{{ID: "cap_sys_admin", Status: Fail}}, []string{"CAP_SYS_ADMIN"}, false, [2]ToolState{Broken, Broken}},
	} {
		r := Report{Checks: c.checks}
		r.judge(list, c.missing)
		if r.OK != c.ok || r.Tools[0].State != c.states[0] || r.Tools[1].State != c.states[1] {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		found resolve.Inventory
		err   error
		want  map[string]Status
	}{
		{"answers", resolve.Inventory{Sources: []resolve.SourceState{{Name: "docker", State: "ok"}}}, nil, map[string]Status{"source.docker": OK, "sources": ""}},
		{"absent", resolve.Inventory{NoNames: true, Sources: []resolve.SourceState{{Name: "docker", State: "absent"}}}, nil, map[string]Status{"source.docker": Info, "sources": Warn}},
		{"hung", resolve.Inventory{NoNames: true, Sources: []resolve.SourceState{{Name: "docker", State: "hung"}, {Name: "cgroup", State: "ok"}}}, nil, map[string]Status{"source.docker": Warn, "sources": Warn}},
		{"failed", resolve.Inventory{NoNames: true, Sources: []resolve.SourceState{{Name: "docker", State: "failed", Error: "refused"}}}, nil, map[string]Status{"source.docker": Warn, "sources": Warn}},
		{"error", resolve.Inventory{}, errors.New("no"), map[string]Status{"sources": Warn}},
	} {
		var r Report
		r.addSources(c.found, c.err, false)
		for id, want := range c.want {
			if got := r.status(id); got != want {
				t.Errorf("%s: %s is %q, want %q", c.name, id, got, want)
			}
		}
	}
}

func TestPrint(t *testing.T) {
	t.Parallel()
	r := Report{
		Checks: []Check{{ID: "enter", Status: OK, Detail: "fine"}, {ID: "cap_sys_admin", Status: Fail, Detail: "missing", Cost: "nothing works", Fix: "sudo"}},
		Tools:  []Tool{{Name: "a", State: Works}, {Name: "b", State: Broken, Lacks: []string{"cap_sys_admin"}}},
		Grant:  grant([]string{"CAP_SYS_ADMIN", "CAP_NET_RAW"}, "/bin/x", 1000),
	}
	var b strings.Builder
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	const want = `ok    enter          fine
FAIL  cap_sys_admin  missing
                     so: nothing works
                     fix: sudo

Tools:
  works    a
  broken   b (cap_sys_admin)

One of these gives the missing capabilities:
  as root:     sudo /bin/x
  systemd:     AmbientCapabilities=CAP_SYS_ADMIN CAP_NET_RAW, as in deploy/nsenter-mcp.service
  container:   hostPID: true, securityContext.capabilities.add: [SYS_ADMIN, NET_RAW]
  podman:      podman unshare /bin/x, for this user's containers of rootless podman alone

Not ready: see what is marked FAIL.
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// "Ready." is said only where somebody knows names, and a front may ask and go.
func TestWhenItIsReady(t *testing.T) {
	t.Parallel()
	for want, checks := range map[string][]Check{
		"\nReady.\n": {{ID: "a", Status: OK}, {ID: "b", Status: Warn}},
		"\nReady in part only: see what stands above at sources, via.\n": {{ID: "sources", Status: Warn, Essential: true}, {ID: "b", Status: Warn}, {ID: "via", Status: Warn, Essential: true}},
		"\nNot ready: see what is marked FAIL.\n":                        {{ID: "sources", Status: Warn, Essential: true}, {ID: "enter", Status: Fail}},
	} {
		r := Report{Checks: checks}
		r.judge(nil, nil)
		var b strings.Builder
		if err := r.Print(&b); err != nil || !strings.HasSuffix(b.String(), want) {
			t.Errorf("got %s, %v, want %s", b.String(), err, want)
		}
	}
	for _, front := range []bool{false, true} {
		var r Report
		r.addSources(resolve.Inventory{NoNames: true, Sources: []resolve.SourceState{{Name: "docker", State: "absent"}}}, nil, front)
		if c := r.Checks[1]; c.ID != "sources" || c.Essential == front {
			t.Errorf("front %v: %+v", front, c)
		}
	}
}

func TestReportHasNoNulls(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(Run(t.Context(), here(t)))
	if err != nil || strings.Contains(string(text), "null") {
		t.Errorf("%v %s", err, text)
	}
}

func TestKubernetes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		report resolve.KubeReport
		err    error
		want   map[string]Status
		says   string

		essential string // the check that withholds "Ready."
	}{
		"absent":              {err: fmt.Errorf("no kubeconfig: %w", resolve.ErrAbsent), want: map[string]Status{"kubernetes": Info}, says: "no API is configured"},
		"absent of a front":   {err: fmt.Errorf("no kubeconfig: %w", resolve.ErrAbsent), want: map[string]Status{"kubernetes": Warn}, says: "no API is configured", essential: "kubernetes"},
		"down":                {err: errors.New("cannot be reached"), want: map[string]Status{"kubernetes": Warn}, says: "cannot be reached"},
		"well":                {report: resolve.KubeReport{Server: "s", Node: "node-1"}, want: map[string]Status{"kubernetes": OK, "kubernetes.rbac": OK, "kubernetes.node": OK}, says: "this is node node-1"},
		"no pods":             {report: resolve.KubeReport{Denied: []string{"list pods"}, Node: "n"}, want: map[string]Status{"kubernetes": OK, "kubernetes.rbac": Warn, "kubernetes.node": OK}, says: "list pods"},
		"no pods of a front":  {report: resolve.KubeReport{Denied: []string{"list pods"}, Node: "n"}, want: map[string]Status{"kubernetes": OK, "kubernetes.rbac": Warn, "kubernetes.node": OK}, says: "list pods", essential: "kubernetes.rbac"},
		"no nodes of a front": {report: resolve.KubeReport{Denied: []string{"get nodes"}, Node: "n"}, want: map[string]Status{"kubernetes": OK, "kubernetes.rbac": Warn, "kubernetes.node": OK}, says: "get nodes"},
		"no exec of a front":  {report: resolve.KubeReport{ExecDenied: []string{"create pods/exec in namespace x"}, Node: "n"}, want: map[string]Status{"kubernetes": OK, "kubernetes.rbac": OK, "kubernetes.exec": Warn, "kubernetes.node": OK}, says: "create pods/exec in namespace x", essential: "kubernetes.exec"},
		"down of a front":     {err: errors.New("cannot be reached"), want: map[string]Status{"kubernetes": Warn}, says: "cannot be reached", essential: "kubernetes"},
		"forbidden":           {report: resolve.KubeReport{Denied: []string{"list pods"}, Node: "n", Grant: "kubectl create"}, want: map[string]Status{"kubernetes": OK, "kubernetes.rbac": Warn, "kubernetes.node": OK}, says: "list pods"},
		"other":               {report: resolve.KubeReport{}, want: map[string]Status{"kubernetes": OK, "kubernetes.rbac": OK, "kubernetes.node": Info}, says: "another cluster's"},
		"nameless":            {report: resolve.KubeReport{NodeErr: errors.New("not allowed to list nodes")}, want: map[string]Status{"kubernetes": OK, "kubernetes.rbac": OK, "kubernetes.node": Warn}, says: "not allowed to list nodes"},
	}
	for name, test := range tests {
		var r Report
		r.addKubernetes(test.report, test.err, strings.HasSuffix(name, "of a front"))
		got, said, essential := map[string]Status{}, "", ""
		for _, c := range r.Checks {
			if c.Essential {
				essential = c.ID
			}
			got[c.ID] = c.Status
			said += c.Detail + "\n"
		}
		if !maps.Equal(got, test.want) || !strings.Contains(said, test.says) || essential != test.essential {
			t.Errorf("%s: got %v, essential %q, and %q, want %v with %q", name, got, essential, said, test.want, test.says)
		}
	}
}

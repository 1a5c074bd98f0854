package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"nsenter-mcp/cmd/nsenter-mcp/internal/config"
	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/dispatch/destination"
)

// policyOf is what comes of an operator's file ("" for none) and flags.
func policyOf(t *testing.T, file string, args ...string) (*config.Policy, error) {
	t.Helper()
	o, flags := &options{operatorFile: filepath.Join(t.TempDir(), "nsenter-mcp.yaml")}, pflag.NewFlagSet("", pflag.ContinueOnError)
	if file != "" {
		if err := os.WriteFile(o.operatorFile, []byte(file), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o.register(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return o.policy()
}

// TestFilesAndFlags: what the operator's file allows, and what flags leave of it.
func TestFilesAndFlags(t *testing.T) {
	t.Parallel()
	const (
		everything = "toolsets: [inspect, probe, capture, exec]\nallow_unsafe_methods: true\ndestinations: {metadata: [169.254.0.0/16]}\n"
		little     = "toolsets: [inspect]\nallow_host_network: false\ndestinations: {allow: [10.0.0.0/8], deny: [10.96.0.0/12]}\n"
	)
	all, usual, inspect := dispatch.Toolsets(), []dispatch.Toolset{dispatch.Inspect, dispatch.Probe}, []dispatch.Toolset{dispatch.Inspect}
	for _, c := range []struct {
		file     string
		args     []string
		toolsets []dispatch.Toolset
		unsafe   bool
		host     bool
		allowed  string // addresses of those below
		refused  string // what the error says; then nothing else counts
	}{
		{"", nil, usual, false, true, "10.1.1.1 10.96.0.10 8.8.8.8", ""},
		{"# nothing said\n", nil, usual, false, true, "10.1.1.1 10.96.0.10 8.8.8.8", ""},
		{"", []string{"--toolsets", "inspect"}, inspect, false, true, "10.1.1.1 10.96.0.10 8.8.8.8", ""},
		{"", []string{"--read-only"}, inspect, false, true, "10.1.1.1 10.96.0.10 8.8.8.8", ""},
		{"", []string{"--read-only", "--toolsets", "probe"}, nil, false, true, "10.1.1.1 10.96.0.10 8.8.8.8", ""},
		{"", []string{"--allow-host-network=false"}, usual, false, false, "10.1.1.1 10.96.0.10 8.8.8.8", ""},
		{"", []string{"--deny-destination", "8.0.0.0/8,10.1.1.1"}, usual, false, true, "10.96.0.10", ""},
		{"", []string{"--allow-destination", "10.96.0.0/12", "--allow-destination", "8.8.8.8"}, usual, false, true, "10.96.0.10 8.8.8.8", ""},
		{"", []string{"--toolsets", "exec"}, nil, false, false, "", "does not allow toolset exec (allowed: inspect, probe)"},
		{"", []string{"--allow-unsafe-methods"}, nil, false, false, "", "does not allow methods that change something"},
		{"", []string{"--allow-destination", "169.254.169.254"}, nil, false, false, "", "metadata service; flags only narrow"},
		{"", []string{"--allow-destination", "169.254.7.0/24"}, nil, false, false, "", "link-local"},
		{"", []string{"--allow-destination", "0.0.0.0/0"}, usual, false, true, "10.1.1.1 10.96.0.10 8.8.8.8", ""},

		{everything, nil, all, true, true, "10.1.1.1 10.96.0.10 8.8.8.8 169.254.169.254", ""},
		{everything, []string{"--toolsets", "inspect,exec"}, []dispatch.Toolset{dispatch.Inspect, dispatch.Exec}, true, true, "10.1.1.1 10.96.0.10 8.8.8.8 169.254.169.254", ""},
		{everything, []string{"--read-only", "--allow-unsafe-methods=false"}, inspect, false, true, "10.1.1.1 10.96.0.10 8.8.8.8 169.254.169.254", ""},
		{everything, []string{"--allow-unsafe-methods", "--allow-destination", "169.254.169.254"}, all, true, true, "169.254.169.254", ""},
		{everything, []string{"--deny-destination", "169.254.169.254"}, all, true, true, "10.1.1.1 10.96.0.10 8.8.8.8", ""},

		{little, nil, inspect, false, false, "10.1.1.1", ""},
		{little, []string{"--allow-destination", "10.1.0.0/16"}, inspect, false, false, "10.1.1.1", ""},
		{little, []string{"--allow-destination", "10.64.0.0/10"}, inspect, false, false, "", ""},
		{little, []string{"--deny-destination", "10.0.0.0/8"}, inspect, false, false, "", ""},
		{little, []string{"--toolsets", "probe"}, nil, false, false, "", "does not allow toolset probe (allowed: inspect)"},
		{little, []string{"--allow-host-network"}, nil, false, false, "", "does not allow the node's own network"},
		{little, []string{"--allow-destination", "8.8.8.8"}, nil, false, false, "", "outside of what is allowed (10.0.0.0/8)"},
		{little, []string{"--allow-destination", "10.97.0.0/16"}, nil, false, false, "", "lies in 10.96.0.0/12, which is denied"},

		{"docker_host: unix:///run/docker.sock\n", []string{"--docker-host", "unix:///run/docker.sock"}, usual, false, true, "10.1.1.1 10.96.0.10 8.8.8.8", ""},
		{"docker_host: unix:///run/docker.sock\n", []string{"--docker-host", "tcp://192.0.2.1:2375"}, nil, false, false, "", "says docker_host: unix:///run/docker.sock"},
		{little, []string{"--docker-host", "tcp://192.0.2.1:2375"}, nil, false, false, "", " alone says where to look; set "},
		{little, []string{"--host-netns", "/proc/4242/ns/net"}, nil, false, false, "", " alone says where to look; set "},
		{"host_root: /host\n", []string{"--host-root", "/proc/4242/root"}, nil, false, false, "", "says host_root: /host"},
	} {
		p, err := policyOf(t, c.file, c.args...)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), "--") {
				t.Errorf("%q %q: %v, want %q", c.file, c.args, err, c.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q %q: %v", c.file, c.args, err)
			continue
		}
		var allowed []string
		for _, a := range []string{"10.1.1.1", "10.96.0.10", "8.8.8.8", "169.254.169.254"} {
			if p.Destinations.Check(netip.AddrPortFrom(netip.MustParseAddr(a), 80), destination.Target{}) == nil {
				allowed = append(allowed, a)
			}
		}
		if !slices.Equal(p.Toolsets, c.toolsets) || p.UnsafeMethods != c.unsafe || p.NoHostNetwork == c.host || strings.Join(allowed, " ") != c.allowed {
			t.Errorf("%q %q: toolsets %v, unsafe methods %v, no host network %v, allowed %v", c.file, c.args, p.Toolsets, p.UnsafeMethods, p.NoHostNetwork, allowed)
		}
	}
}

// TestNodeFileNarrows: below --host-root the node's own file takes away, and gives
// nothing.
func TestNodeFileNarrows(t *testing.T) {
	t.Parallel()
	const everything = "toolsets: [inspect, probe, capture, exec]\nallow_unsafe_methods: true\nallow_exec_plugin: true\nallow_host_loopback: true\ndestinations: {metadata: [169.254.0.0/16]}\n"
	all, usual, inspect := dispatch.Toolsets(), []dispatch.Toolset{dispatch.Inspect, dispatch.Probe}, []dispatch.Toolset{dispatch.Inspect}
	for _, c := range []struct {
		own, node string // "" for none
		args      []string
		toolsets  []dispatch.Toolset
		changes   bool   // unsafe methods, the plugin and the node's loopback
		host      bool   // the node's network
		allowed   string // addresses of those below
		refused   string // what the error says, with the node's root as ROOT; then nothing else counts
	}{
		{"", "", nil, usual, false, true, "10.1.1.1 10.96.0.10 127.0.0.1", ""},
		{everything, "", nil, all, true, true, "10.1.1.1 10.96.0.10 169.254.169.254 127.0.0.1", ""},
		// It gives nothing: somebody's container may have such a file.
		{"", everything, nil, usual, false, true, "10.1.1.1 10.96.0.10 127.0.0.1", ""},
		{"toolsets: [inspect]\ndestinations: {allow: [10.1.0.0/16]}\n", everything, nil, inspect, false, true, "10.1.1.1", ""},
		{everything, everything, nil, all, true, true, "10.1.1.1 10.96.0.10 169.254.169.254 127.0.0.1", ""},
		// It takes away, by what it says and by what it does not say.
		{"", "toolsets: [inspect]\nallow_host_network: false\n", nil, inspect, false, false, "10.1.1.1 10.96.0.10 127.0.0.1", ""},
		{everything, "{}", nil, usual, false, true, "10.1.1.1 10.96.0.10 127.0.0.1", ""},
		{everything, "destinations: {deny: [10.96.0.0/12]}\n", nil, usual, false, true, "10.1.1.1 127.0.0.1", ""},
		{"destinations: {allow: [10.0.0.0/8]}\n", "destinations: {allow: [10.96.0.0/12, 127.0.0.0/8]}\n", nil, usual, false, true, "10.96.0.10", ""},
		// A flag cannot have back what it took.
		{everything, "toolsets: [inspect]\n", []string{"--toolsets", "probe"}, nil, false, false, "", " and ROOT/etc/nsenter-mcp.yaml"},
		{everything, "{}", []string{"--allow-exec-plugin"}, nil, false, false, "", " and ROOT/etc/nsenter-mcp.yaml"},
		{"", "allow_host_network: false\n", []string{"--allow-host-network"}, nil, false, false, "", "does not allow the node's own network"},
		{"", "{}", []string{"--via", "sh"}, nil, false, false, "", "--via: where there is an operator's file, "},
		{"", "docker_host: unix:///run/docker.sock\n", []string{"--docker-host", "unix:///run/docker.sock"}, nil, false, false, "", " alone says where to look; set docker_host there"},
		// What it says is not guessed.
		{everything, "toolset: [inspect]\n", nil, nil, false, false, "", "ROOT/etc/nsenter-mcp.yaml: line 1: the key \"toolset\" is unknown; did you mean toolsets?"},
	} {
		root := t.TempDir()
		if c.node != "" {
			if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, config.Path), []byte(c.node), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		own := c.own
		if own != "" { // the file says where the root is, or a flag does
			own += "host_root: " + root + "\n"
		}
		p, err := policyOf(t, own, append([]string{"--host-root", root}, c.args...)...)
		if c.refused != "" {
			want := strings.ReplaceAll(c.refused, "ROOT", root)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q %q %q: %v, want %s", c.own, c.node, c.args, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q %q: %v", c.own, c.node, err)
			continue
		}
		var allowed []string
		for _, a := range []string{"10.1.1.1", "10.96.0.10", "169.254.169.254", "127.0.0.1"} {
			if p.Destinations.Check(netip.AddrPortFrom(netip.MustParseAddr(a), 80), destination.Target{}) == nil {
				allowed = append(allowed, a)
			}
		}
		if !slices.Equal(p.Toolsets, c.toolsets) || p.UnsafeMethods != c.changes || p.ExecPlugin != c.changes || p.Destinations.HostLoopback != c.changes ||
			p.NoHostNetwork == c.host || strings.Join(allowed, " ") != c.allowed {
			t.Errorf("%q %q: toolsets %v, unsafe methods %v, plugin %v, loopback %v, no host network %v, allowed %v", c.own, c.node,
				p.Toolsets, p.UnsafeMethods, p.ExecPlugin, p.Destinations.HostLoopback, p.NoHostNetwork, allowed)
		}
	}
}

// An operator's variable of the environment is a client's as well.
func TestEnvironmentLeadsNowhereElse(t *testing.T) {
	t.Setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
	if p, err := policyOf(t, ""); err != nil || p.DockerHost.Or("") != "tcp://192.0.2.1:2375" {
		t.Errorf("without a file: %v", err)
	}
	if p, err := policyOf(t, "", "--docker-host", "unix:///x"); err != nil || p.DockerHost.Or("") != "unix:///x" {
		t.Errorf("with a flag: %v", err)
	}
	if _, err := policyOf(t, "toolsets: [inspect]\n"); err == nil || !strings.Contains(err.Error(), "DOCKER_HOST") {
		t.Errorf("with a file: %v", err)
	}
}

// The name of a node is one for each, where the file may be the same for all.
func TestNodeName(t *testing.T) {
	t.Setenv("NODE_NAME", "node-7")
	for _, file := range []string{"", "toolsets: [inspect]\n", "node_name: node-7\n"} {
		if p, err := policyOf(t, file); err != nil || p.NodeName.Or("") != "node-7" {
			t.Errorf("%q: %v", file, err)
		}
	}
	if _, err := policyOf(t, "node_name: node-8\n"); err == nil || !strings.Contains(err.Error(), "NODE_NAME: ") {
		t.Errorf("another one in the file: %v", err)
	}
	if p, err := policyOf(t, "", "--node-name", "node-9"); err != nil || p.NodeName.Or("") != "node-9" {
		t.Errorf("a flag: %v", err)
	}
}

// TestDeployedFile: the file of the node pod is one, and is mounted where it is read.
func TestDeployedFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/node.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type mount struct {
		Name      string
		MountPath string `yaml:"mountPath"`
		SubPath   string `yaml:"subPath"`
	}
	var file string
	var mounts []mount
	for _, part := range strings.Split(string(text), "\n---\n") {
		var object struct {
			Data map[string]string
			Spec struct {
				Template struct {
					Spec struct {
						Containers []struct {
							VolumeMounts []mount `yaml:"volumeMounts"`
						}
					}
				}
			}
		}
		if err := yaml.Unmarshal([]byte(part), &object); err != nil {
			t.Fatal(err)
		}
		file += object.Data[filepath.Base(config.Path)]
		for _, c := range object.Spec.Template.Spec.Containers {
			mounts = append(mounts, c.VolumeMounts...)
		}
	}
	f, err := config.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	want := mount{"policy", config.Path, filepath.Base(config.Path)}
	if f.HostRoot != "/host" || !slices.Contains(mounts, want) {
		t.Errorf("host_root: %s; mounted: %v", f.HostRoot, mounts)
	}
	if _, err := policyOf(t, file, "--host-root", "/"); err == nil {
		t.Error("who may exec into the pod can choose another root")
	}
}

// TestDocumentedFile: the example in the documentation is one, and says
// everything that can be said.
func TestDocumentedFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(text)
	if found == nil {
		t.Fatal("there is no example")
	}
	f, err := config.Parse(found[1])
	if err != nil {
		t.Fatal(err)
	}
	if f.Toolsets == nil || f.UnsafeMethods == nil || f.HostNetwork == nil || f.Allow == nil || f.Deny == nil || f.Metadata == nil ||
		f.HostRoot == "" || f.HostNetns == "" || f.DockerHost == "" || f.Via == "" || f.RuntimeEndpoint == "" || f.Kubeconfig == "" || f.Context == "" || f.NodeName == "" || f.ExecPlugin == nil {
		t.Errorf("a key is not shown: %+v", f)
	}
	if _, err := policyOf(t, string(found[1])); err != nil {
		t.Error(err)
	}
}

// TestJourneyIsNarrowed: the file switches it off for good, a flag for one client.
func TestJourneyIsNarrowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file    string
		args    []string
		off     bool
		refused string
	}{
		{"", nil, false, ""},
		{"", []string{"--journey=false"}, true, ""},
		{"journey: true\n", []string{"--journey=false"}, true, ""},
		{"journey: false\n", nil, true, ""},
		{"journey: false\n", []string{"--journey"}, false, "set journey: true"},
	} {
		p, err := policyOf(t, c.file, c.args...)
		switch {
		case c.refused != "":
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%q %q: %v, want %q", c.file, c.args, err, c.refused)
			}
		case err != nil || p.NoJourney != c.off:
			t.Errorf("%q %q: %v, off %v", c.file, c.args, err, p.NoJourney)
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"nsenter-mcp/cmd/nsenter-mcp/internal/config"
	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/forward"
	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools"
)

// options are the flags that all commands share.
type options struct {
	hostRoot    string
	hostNetns   string
	dockerHost  string
	endpoint    string
	via         string
	kubeconfig  string
	kubeContext string
	nodeName    string
	execPlugin  bool
	logLevel    string
	logFormat   string

	// The policy's.
	operatorFile  string
	given         func(flag string) bool
	readOnly      bool
	toolsets      []string
	unsafeMethods bool
	hostNetwork   bool
	journey       bool
	allow, deny   []string
}

func (o *options) register(flags *pflag.FlagSet) {
	o.given = func(name string) bool { return flags.Changed(name) }
	flags.StringVar(&o.hostRoot, "host-root", "/", "`directory` that is the node's root, where it is mounted into a container")
	flags.StringVar(&o.hostNetns, "host-netns", "", "`path` of the node's network namespace (default: the one this program runs in)")
	flags.StringVar(&o.dockerHost, "docker-host", "", "`address` of the Docker engine (default: DOCKER_HOST, else its usual socket)")
	flags.StringVar(&o.endpoint, "runtime-endpoint", "", "`socket` of the container runtime (default: "+resolve.CRIEnv+", else the usual)")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "`path` of the kubeconfig (default: KUBECONFIG, ~/.kube/config, the pod's own account)")
	flags.StringVar(&o.kubeContext, "context", "", "`name` of the kubeconfig's context (default: its current one)")
	flags.StringVar(&o.nodeName, "node-name", "", "`name` of this node in Kubernetes (default: NODE_NAME, else by the boot ID)")
	flags.BoolVar(&o.execPlugin, "allow-exec-plugin", false, "as root, start the credential plugin that the kubeconfig names")
	flags.StringVar(&o.via, "via", "", "`command` that leads to the server of another node, whose name is {node} in it")
	flags.StringSliceVar(&o.toolsets, "toolsets", nil, "`names` of the toolsets to offer (default: all that the operator allows)")
	flags.BoolVar(&o.readOnly, "read-only", false, "offer only tools that send nothing (toolset inspect)")
	flags.StringSliceVar(&o.allow, "allow-destination", nil, "`prefix` to which probes may go and nowhere else (repeatable)")
	flags.StringSliceVar(&o.deny, "deny-destination", nil, "`prefix` to which probes may not go (repeatable)")
	flags.BoolVar(&o.unsafeMethods, "allow-unsafe-methods", false, "=false: netns_curl sends GET, HEAD and OPTIONS even if the operator allows more")
	flags.BoolVar(&o.hostNetwork, "allow-host-network", true, "=false: not what uses the node's own network")
	flags.BoolVar(&o.journey, "journey", true, "=false: probes do not follow their packets through the node")
	flags.StringVar(&o.logLevel, "log-level", "", "`level`: debug, info, warn or error (default: info for the server, else warn)")
	flags.StringVar(&o.logFormat, "log-format", "text", "`format` of the log on standard error: text or json")
}

// policy is what the operator's files allow, narrowed by the flags.
func (o *options) policy() (*config.Policy, error) {
	p, err := config.New(o.operatorFile)
	if err != nil {
		return nil, err
	}
	if o.given("host-root") {
		if err := p.HostRoot.Set("--host-root", o.hostRoot); err != nil {
			return nil, usagef("%v", err)
		}
	}
	if err := p.NarrowByNode(config.Path); err != nil {
		return nil, err
	}
	for _, flag := range [...]struct {
		name   string
		narrow func(who string) error
	}{
		{"toolsets", func(who string) error { return p.LimitToolsets(who, o.toolsets) }},
		{"read-only", func(who string) error { return p.ReadOnly(who, o.readOnly) }},
		{"allow-unsafe-methods", func(who string) error { return p.LimitMethods(who, o.unsafeMethods) }},
		{"allow-host-network", func(who string) error { return p.LimitHostNetwork(who, o.hostNetwork) }},
		{"journey", func(who string) error { return p.LimitJourney(who, o.journey) }},
		{"allow-destination", func(who string) error { return p.AllowOnly(who, o.allow) }},
		{"deny-destination", func(who string) error { return p.DenyToo(who, o.deny) }},
		{"host-netns", func(who string) error { return p.HostNetns.Set(who, o.hostNetns) }},
		{"docker-host", func(who string) error { return p.DockerHost.Set(who, o.dockerHost) }},
		{"runtime-endpoint", func(who string) error { return p.RuntimeEndpoint.Set(who, o.endpoint) }},
		{"kubeconfig", func(who string) error { return p.Kubeconfig.Set(who, o.kubeconfig) }},
		{"context", func(who string) error { return p.Context.Set(who, o.kubeContext) }},
		{"node-name", func(who string) error { return p.NodeName.Set(who, o.nodeName) }},
		{"allow-exec-plugin", func(who string) error { return p.AllowExecPlugin(who, o.execPlugin) }},
		{"via", func(who string) error { return p.Via.Set(who, o.via) }},
	} {
		if !o.given(flag.name) {
			continue
		}
		if err := flag.narrow("--" + flag.name); err != nil {
			return nil, usagef("%v", err)
		}
	}
	if !o.given("docker-host") {
		if err := p.DockerHost.Set("DOCKER_HOST", os.Getenv("DOCKER_HOST")); err != nil {
			return nil, usagef("%v", err)
		}
	}
	if !o.given("runtime-endpoint") {
		if err := p.RuntimeEndpoint.Set(resolve.CRIEnv, os.Getenv(resolve.CRIEnv)); err != nil {
			return nil, usagef("%v", err)
		}
	}
	if !o.given("node-name") {
		// One file serves many nodes, each of which has a name of its own. A wrong one
		// leads nowhere: what is entered is proved by what is on the node.
		if err := p.NodeName.SetDefault("NODE_NAME", os.Getenv("NODE_NAME")); err != nil {
			return nil, usagef("%v", err)
		}
	}
	return p, nil
}

// logger writes to w, which is never standard output: that belongs to the
// protocol, or to the answer. otherwise is the level where the user gave none.
func (o *options) logger(w io.Writer, otherwise slog.Level) (*slog.Logger, error) {
	level := otherwise
	switch o.logLevel {
	case "":
	case "debug", "info", "warn", "error":
		if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
			return nil, fmt.Errorf("--log-level: %w", err)
		}
	default:
		return nil, usagef("--log-level: %q is none of debug, info, warn, error", o.logLevel)
	}
	how := &slog.HandlerOptions{Level: level}
	switch o.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, how)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, how)), nil
	}
	return nil, usagef("--log-format: %q is none of text, json", o.logFormat)
}

// node is the assembled program: everything that a call needs.
type node struct {
	policy     *config.Policy
	home       *nsexec.Home
	host       *nsexec.Handle
	kube       *resolve.Kube
	resolver   *resolve.Resolver
	dispatcher *dispatch.Dispatcher
	forwarder  *forward.Forwarder // nil without --via
	close      []func() error     // in the order of opening
}

// open assembles the program. It asks nobody anything yet. The caller closes
// the node.
func (o *options) open(log *slog.Logger) (_ *node, err error) {
	policy, err := o.policy()
	if err != nil {
		return nil, err
	}
	if policy.Via.Fixed() {
		if err := ignoreEnvironment(); err != nil {
			return nil, err
		}
	}
	n := &node{policy: policy}
	if n.forwarder, err = openForwarder(policy, log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = n.Close()
		}
	}()
	if n.home, err = nsexec.NewHome(); err != nil {
		return nil, err
	}
	n.close = append(n.close, n.home.Close)
	if n.host, err = openHost(n); err != nil {
		return nil, err
	}
	root := policy.HostRoot.Or("/")
	sources, err := n.sources(root)
	if err != nil {
		return nil, err
	}
	n.kube = resolve.NewKube(resolve.KubeOptions{
		Config: policy.Kubeconfig.Or(""), Context: policy.Context.Or(""), AllowPlugin: policy.ExecPlugin, Root: root,
		Operator: policy.Kubeconfig.Fixed(),
	})
	n.close = append(n.close, n.kube.Close)
	n.resolver = resolve.New(resolve.Config{
		Home: n.home, Host: n.host, Root: root, Node: policy.NodeName.Or(""),
		Sources: sources, Cluster: []resolve.Source{n.kube}, AllowHostNetwork: !policy.NoHostNetwork, Logger: log,
	})
	n.close = append(n.close, func() error { n.resolver.Close(); return nil }) // before the sources
	dispatching := dispatch.Config{
		Tools:  tools.All(),
		Env:    dispatch.Env{Resolver: n.resolver, Home: n.home, Host: n.host, Root: root},
		Policy: policy.Policy, Log: log,
	}
	if policy.Audit != "" {
		audit, end, err := openAudit(policy.Audit)
		if err != nil {
			return nil, err
		}
		dispatching.Audit = dispatch.AuditTo(audit)
		n.close = append(n.close, end)
	}
	if n.forwarder != nil {
		dispatching.Forwarder = n.forwarder
		n.close = append(n.close, n.forwarder.Close)
	}
	if n.dispatcher, err = dispatch.NewDispatcher(dispatching); err != nil {
		return nil, err
	}
	return n, nil
}

// sources are those who know this node's workloads. Of two that know the same
// one, the earlier one's word counts: the Docker engine tells more than
// cri-dockerd, which stands before it.
func (n *node) sources(root string) ([]resolve.Source, error) {
	if err := resolve.CheckDockerHost(n.policy.DockerHost.Or("")); err != nil {
		return nil, usagef("%s: %v", n.policy.DockerHost.Who(), err)
	}
	docker := resolve.NewDocker(resolve.DockerOptions{Host: n.policy.DockerHost.Or(""), Root: root})
	podman := resolve.NewPodman(root)
	n.close = append(n.close, docker.Close, podman.Close)
	all := []resolve.Source{docker, podman}
	runtimes, err := resolve.NewCRI(resolve.CRIOptions{Endpoint: n.policy.RuntimeEndpoint.Or(""), Root: root})
	if err != nil {
		return nil, usagef("%s: %v", n.policy.RuntimeEndpoint.Who(), err)
	}
	for _, r := range runtimes {
		all = append(all, r)
	}
	return append(all, resolve.NewBundles(n.home, root), resolve.NewNodeFiles(n.home, root), resolve.NewCgroups(root)), nil
}

// openForwarder returns what reaches other nodes, nil without --via. It starts
// nothing yet.
func openForwarder(policy *config.Policy, log *slog.Logger) (*forward.Forwarder, error) {
	command := policy.Via.Or("")
	if command == "" {
		return nil, nil
	}
	template, err := forward.ParseTemplate(command)
	if err != nil {
		return nil, usagef("%s: %v", policy.Via.Who(), err)
	}
	return forward.New(forward.Config{Template: template, Version: buildInfo().Version, Logger: log}), nil
}

// openHost returns the namespace of the node. Where there are no namespaces at
// all, every call says so; that is no reason not to start.
func openHost(n *node) (*nsexec.Handle, error) {
	path := n.policy.HostNetns.Or("")
	if path == "" {
		return n.home.Self(), nil
	}
	host, err := n.home.OpenPath(context.Background(), path)
	switch {
	case errors.Is(err, nsexec.ErrUnsupported):
		return n.home.Self(), nil
	case err != nil:
		return nil, fmt.Errorf("network namespace of the node (--host-netns): %w", err)
	}
	n.close = append(n.close, host.Close)
	return host, nil
}

// Close releases what open opened.
func (n *node) Close() error {
	var errs []error
	for _, c := range slices.Backward(n.close) {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

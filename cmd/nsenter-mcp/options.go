package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools"
)

// options are the flags that all commands share.
type options struct {
	hostRoot   string
	hostNetns  string
	dockerHost string
	readOnly   bool
	toolsets   []string
	logLevel   string
	logFormat  string
}

func (o *options) register(flags *pflag.FlagSet) {
	flags.StringVar(&o.hostRoot, "host-root", "/", "`directory` that is the node's root, where it is mounted into a container")
	flags.StringVar(&o.hostNetns, "host-netns", "", "`path` of the node's network namespace (default: the one this program runs in)")
	flags.StringVar(&o.dockerHost, "docker-host", "", "`address` of the Docker engine (default: DOCKER_HOST, else its usual socket)")
	flags.StringSliceVar(&o.toolsets, "toolsets", allowedToolsets(), "`names` of the toolsets to offer")
	flags.BoolVar(&o.readOnly, "read-only", false, "offer only tools that send nothing (toolset inspect)")
	flags.StringVar(&o.logLevel, "log-level", "", "`level`: debug, info, warn or error (default: info for the server, else warn)")
	flags.StringVar(&o.logFormat, "log-format", "text", "`format` of the log on standard error: text or json")
}

// allowedToolsets are those that flags can ask for. Flags may come from the
// configuration of an agent's program, so they only ever narrow this.
func allowedToolsets() []string {
	var names []string
	for _, t := range tools.DefaultPolicy().Toolsets {
		names = append(names, string(t))
	}
	return names
}

func (o *options) policy() (tools.Policy, error) {
	ceiling := tools.DefaultPolicy()
	if o.readOnly {
		ceiling = tools.ReadOnlyPolicy()
	}
	var p tools.Policy
	for _, name := range o.toolsets {
		set := tools.Toolset(name)
		if !slices.Contains(allowedToolsets(), name) {
			return p, usagef("--toolsets: %q is none of %s", name, strings.Join(allowedToolsets(), ", "))
		}
		if slices.Contains(ceiling.Toolsets, set) {
			p.Toolsets = append(p.Toolsets, set)
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
	home       *nsexec.Home
	host       *nsexec.Handle
	resolver   *resolve.Resolver
	dispatcher *tools.Dispatcher
	close      []func() error // in the order of opening
}

// open assembles the program. It asks nobody anything yet. The caller closes
// the node.
func (o *options) open(log *slog.Logger) (_ *node, err error) {
	policy, err := o.policy()
	if err != nil {
		return nil, err
	}
	n := &node{}
	defer func() {
		if err != nil {
			_ = n.Close()
		}
	}()
	if n.home, err = nsexec.NewHome(); err != nil {
		return nil, err
	}
	n.close = append(n.close, n.home.Close)
	if n.host, err = o.openHost(n); err != nil {
		return nil, err
	}
	docker := resolve.NewDocker(resolve.DockerOptions{Host: o.dockerHost, Root: o.hostRoot})
	n.close = append(n.close, docker.Close)
	n.resolver = resolve.New(resolve.Config{
		Home: n.home, Host: n.host, Root: o.hostRoot, Node: os.Getenv("NODE_NAME"),
		// Of two that know the same workload, the earlier one's word counts.
		Sources:          []resolve.Source{docker, resolve.NewCgroups(o.hostRoot)},
		AllowHostNetwork: true, Logger: log,
	})
	n.dispatcher, err = tools.NewDispatcher(tools.Config{
		Tools:  tools.All(),
		Env:    tools.Env{Resolver: n.resolver, Home: n.home, Host: n.host, Root: o.hostRoot},
		Policy: policy, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// openHost returns the namespace of the node. Where there are no namespaces at
// all, every call says so; that is no reason not to start.
func (o *options) openHost(n *node) (*nsexec.Handle, error) {
	if o.hostNetns == "" {
		return n.home.Self(), nil
	}
	host, err := n.home.OpenPath(o.hostNetns)
	switch {
	case errors.Is(err, nsexec.ErrUnsupported):
		return n.home.Self(), nil
	case err != nil:
		return nil, fmt.Errorf("--host-netns: %w", err)
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

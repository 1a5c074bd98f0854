package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/dispatch/destination"
	"nsenter-mcp/internal/words"
)

// File is what an operator's file says. What it does not say is nil or "".
type File struct {
	Toolsets      []dispatch.Toolset
	UnsafeMethods *bool
	HostNetwork   *bool
	HostLoopback  *bool
	Journey       *bool
	Allow         []netip.Prefix // the only destinations
	Deny          []netip.Prefix // no destinations
	Metadata      []netip.Prefix // destinations although they are metadata services or link-local
	HostRoot      string
	HostNetns     string
	DockerHost    string
	Via           string
	// RuntimeEndpoint is the socket of the container runtime.
	RuntimeEndpoint string
	Kubeconfig      string
	Context         string // of the kubeconfig
	NodeName        string // of this node in Kubernetes
	// ExecPlugin lets the kubeconfig's credential plugin run as root.
	ExecPlugin *bool
	Audit      string // where calls are recorded: AuditSyslog or a path
}

// The keys of a file.
const (
	keyToolsets      = "toolsets"
	keyUnsafeMethods = "allow_unsafe_methods"
	keyHostNetwork   = "allow_host_network"
	keyHostLoopback  = "allow_host_loopback"
	keyJourney       = "journey"
	keyDestinations  = "destinations"
	keyAllow         = "allow"
	keyDeny          = "deny"
	keyMetadata      = "metadata"
	keyHostRoot      = "host_root"
	keyHostNetns     = "host_netns"
	keyDockerHost    = "docker_host"
	keyVia           = "via"
	keyEndpoint      = "runtime_endpoint"
	keyKubeconfig    = "kubeconfig"
	keyContext       = "context"
	keyNodeName      = "node_name"
	keyExecPlugin    = "allow_exec_plugin"
	keyAudit         = "audit"
)

// Parse reads an operator's file. Its errors name the line and what would do.
// Of what stands in the file they quote no more than single words, as it may
// have been another file.
func Parse(text []byte) (File, error) {
	var f File
	var document yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	switch err := d.Decode(&document); {
	case errors.Is(err, io.EOF):
		return f, nil // nothing but comments
	case err != nil:
		return f, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return f, errors.New("it holds more than one YAML document")
	}
	err := readKeys(document.Content[0], map[string]read{
		keyToolsets:      into(&f.Toolsets, toolsets),
		keyUnsafeMethods: into(&f.UnsafeMethods, boolean),
		keyHostNetwork:   into(&f.HostNetwork, boolean),
		keyHostLoopback:  into(&f.HostLoopback, boolean),
		keyJourney:       into(&f.Journey, boolean),
		keyDestinations: func(n *yaml.Node) error {
			return readKeys(n, map[string]read{
				keyAllow:    into(&f.Allow, prefixes),
				keyDeny:     into(&f.Deny, prefixes),
				keyMetadata: into(&f.Metadata, prefixes),
			})
		},
		keyHostRoot:   into(&f.HostRoot, word),
		keyHostNetns:  into(&f.HostNetns, word),
		keyDockerHost: into(&f.DockerHost, word),
		keyVia:        into(&f.Via, command),
		keyEndpoint:   into(&f.RuntimeEndpoint, word),
		keyKubeconfig: into(&f.Kubeconfig, word),
		keyContext:    into(&f.Context, word),
		keyNodeName:   into(&f.NodeName, word),
		keyExecPlugin: into(&f.ExecPlugin, boolean),
		keyAudit:      into(&f.Audit, audit),
	})
	return f, err
}

// AuditSyslog stands for the system's logger.
const AuditSyslog = "syslog"

func audit(n *yaml.Node) (string, error) {
	where, err := word(n)
	if err == nil && where != AuditSyslog && !filepath.IsAbs(where) {
		err = at(n, "expected %s or the absolute path of a file", AuditSyslog)
	}
	return where, err
}

// read takes the value of a key.
type read func(*yaml.Node) error

func into[T any](to *T, parse func(*yaml.Node) (T, error)) read {
	return func(n *yaml.Node) (err error) {
		*to, err = parse(n)
		return err
	}
}

// readKeys reads a mapping with these keys and no others.
func readKeys(n *yaml.Node, keys map[string]read) error {
	if n.Kind != yaml.MappingNode {
		return at(n, "expected a mapping with the keys %s", strings.Join(slices.Sorted(maps.Keys(keys)), ", "))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		take, known := keys[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || !known:
			return unknownKey(key, slices.Sorted(maps.Keys(keys)))
		case seen[key.Value]:
			return at(key, "%s is there twice", key.Value)
		}
		seen[key.Value] = true
		if err := take(value); err != nil {
			return fmt.Errorf("%w (%s)", err, key.Value)
		}
	}
	return nil
}

// harmless is what may be quoted of a key that is not ours.
var harmless = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[\w.-]{1,40}$`)
})

func unknownKey(key *yaml.Node, valid []string) error {
	name := "the key"
	if key.Kind == yaml.ScalarNode && harmless().MatchString(key.Value) {
		name = fmt.Sprintf("the key %q", key.Value)
		if near := words.Closest(key.Value, valid, 1); len(near) == 1 {
			return at(key, "%s is unknown; did you mean %s?", name, near[0])
		}
	}
	return at(key, "%s is unknown; there are %s", name, strings.Join(valid, ", "))
}

func toolsets(n *yaml.Node) ([]dispatch.Toolset, error) {
	words, err := list(n, "toolsets, as in [inspect, probe]")
	if err != nil {
		return nil, err
	}
	sets := []dispatch.Toolset{}
	for i, w := range words {
		set, err := parseToolset(w)
		if err != nil {
			return nil, at(n.Content[i], "%v", err)
		}
		sets = append(sets, set)
	}
	return sets, nil
}

// parseToolset reads the name of a toolset.
func parseToolset(name string) (dispatch.Toolset, error) {
	valid := []string{}
	for _, set := range dispatch.Toolsets() {
		if string(set) == name {
			return set, nil
		}
		valid = append(valid, string(set))
	}
	text := fmt.Sprintf("%q is none of %s", name, strings.Join(valid, ", "))
	if !harmless().MatchString(name) {
		text = "a toolset is one of " + strings.Join(valid, ", ")
	}
	if near := words.Closest(name, valid, 1); len(near) == 1 {
		text += "; did you mean " + near[0] + "?"
	}
	return "", errors.New(text)
}

func prefixes(n *yaml.Node) ([]netip.Prefix, error) {
	words, err := list(n, "addresses and prefixes, as in [10.0.0.0/8, 192.0.2.1]")
	if err != nil {
		return nil, err
	}
	found := []netip.Prefix{}
	for i, w := range words {
		p, err := destination.ParsePrefix(w)
		if err != nil {
			return nil, at(n.Content[i], "%v", err)
		}
		found = append(found, p)
	}
	return found, nil
}

// list reads a list of words.
func list(n *yaml.Node, of string) ([]string, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, at(n, "expected a list of %s", of)
	}
	words := make([]string, len(n.Content))
	for i, item := range n.Content {
		var err error
		if words[i], err = word(item); err != nil {
			return nil, err
		}
	}
	return words, nil
}

// command reads a command line, or a list of its words, and returns a command line.
func command(n *yaml.Node) (string, error) {
	if n.Kind != yaml.SequenceNode {
		return word(n)
	}
	words, err := list(n, "words, as in [ssh, -T, \"{node}\", nsenter-mcp]")
	for i, w := range words {
		words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(words, " "), err
}

// boolean takes what every version of YAML takes for one.
func boolean(n *yaml.Node) (*bool, error) {
	if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" || n.ShortTag() != "!!bool" {
		return nil, at(n, "expected true or false")
	}
	is := n.Value == "true"
	return &is, nil
}

func word(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode || n.Value == "" || n.ShortTag() == "!!null" {
		return "", at(n, "expected a word")
	}
	return n.Value, nil
}

func at(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("line %d: %s", n.Line, fmt.Sprintf(format, args...))
}

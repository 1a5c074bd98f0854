package gather

import (
	"fmt"
	"path/filepath"

	"nsenter-mcp/nsexec"
)

// KernelNamespace is a namespace that a process is in.
type KernelNamespace struct {
	Inode uint64 `json:"inode"`
	// Host is absent where the host's own namespace of this kind is not known.
	Host *bool `json:"host,omitempty" jsonschema:"it is the host's own"`
}

// Namespaces lists a process's namespaces by their kind, and says which are the host's.
func Namespaces(node Node, p *nsexec.Process) (map[string]KernelNamespace, error) {
	own, err := p.Namespaces()
	if err != nil {
		return nil, fmt.Errorf("read namespaces: %w", err)
	}
	hosts := hostNamespaces(node)
	hosts["net"] = node.Host.Identity()
	out := make(map[string]KernelNamespace, len(own))
	for kind, id := range own {
		row := KernelNamespace{Inode: id.Inode}
		if host, known := hosts[kind]; known {
			same := id.Same(host)
			row.Host = &same
		}
		out[kind] = row
	}
	return out, nil
}

// hostNamespaces are those of the host's first process. A security module may
// hide them even from root; then they are not known.
func hostNamespaces(node Node) map[string]nsexec.Identity {
	first, err := node.Home.OpenProcess(filepath.Join(node.Root, "proc"), 1)
	if err != nil {
		return map[string]nsexec.Identity{}
	}
	defer func() { _ = first.Close() }() // was only read
	namespaces, err := first.Namespaces()
	if err != nil {
		return map[string]nsexec.Identity{}
	}
	return namespaces
}

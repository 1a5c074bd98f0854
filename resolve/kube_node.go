package resolve

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// machine is what tells one node from another.
type machine struct {
	boot string // of the kernel, new at every boot
	id   string // of the installation; "" is not known. Nodes in containers share a kernel, not this
}

// thisMachine reads what identifies the machine whose files lie below root.
func thisMachine(root string) (machine, error) {
	// Of the kernel that runs us, wherever /proc is mounted.
	_, data, err := readBounded(filepath.Join(root, "proc/sys/kernel/random/boot_id"), maxWords)
	if err != nil {
		return machine{}, fmt.Errorf("identity of this machine: %w", err)
	}
	m := machine{}
	if m.boot, err = parseBootID(string(data)); err != nil {
		return machine{}, err
	}
	// Where the kubelet looks.
	for _, name := range []string{"etc/machine-id", "var/lib/dbus/machine-id"} {
		if _, data, err := readBounded(filepath.Join(root, name), maxWords); err == nil && m.id == "" {
			m.id = parseMachineID(string(data))
		}
	}
	return m, nil
}

func parseBootID(s string) (string, error) {
	id := strings.ToLower(strings.TrimSpace(s))
	if !isUUID(id) {
		return "", fmt.Errorf("boot ID %s is no UUID", quote(id))
	}
	return id, nil
}

// parseMachineID reads machine-id(5); "" for "uninitialized" and the like.
func parseMachineID(s string) string {
	id := strings.ToLower(strings.TrimSpace(s))
	if len(id) != 32 || !isHex(id) {
		return ""
	}
	return id
}

// kinship compares a node of the API with the machine. sure is false where one of
// the two has no machine ID: then any node of this kernel may be this machine, of
// which there are several where nodes are containers (kind).
func (m machine) kinship(n *kubeNode) (kin Kinship, sure bool) {
	info := &n.Status.NodeInfo
	there := parseMachineID(info.MachineID)
	switch {
	case !strings.EqualFold(info.BootID, m.boot):
		return Stranger, true
	case m.id == "" || there == "":
		return SameKernel, false
	case there != m.id:
		return SameKernel, true
	}
	return ThisNode, true
}

// Kinship tells by one request what the node of that name is to this machine.
// One that the API does not know is a stranger.
func (k *Kube) Kinship(ctx context.Context, node string) (Kinship, error) {
	return kubeAsk(ctx, k, func(c *kubeConn) (Kinship, error) {
		here, err := thisMachine(c.root)
		if err != nil {
			return Stranger, err
		}
		var n kubeNode
		found, err := c.one(ctx, kubeRequest{group: kubeCore, resource: kubeNodes, name: node}, &n)
		if !found {
			return Stranger, err
		}
		kin, _ := here.kinship(&n)
		return kin, nil
	})
}

// HasNode tells whether the cluster has a node of that name, in one request.
func (k *Kube) HasNode(ctx context.Context, node string) (bool, error) {
	return kubeAsk(ctx, k, func(c *kubeConn) (bool, error) {
		var n kubeNode
		return c.one(ctx, kubeRequest{group: kubeCore, resource: kubeNodes, name: node}, &n)
	})
}

// ThisNode finds the name of the node that this machine is; "" where the cluster
// has none like it, or several that cannot be told apart. One request is enough
// where the node is called like the machine, as most are; else all nodes are looked
// through.
func (k *Kube) ThisNode(ctx context.Context) (string, error) {
	return kubeAsk(ctx, k, func(c *kubeConn) (string, error) {
		here, err := thisMachine(c.root)
		if err != nil {
			return "", err
		}
		if name, err := os.Hostname(); err == nil && checkName("", name, "") == nil {
			var n kubeNode
			found, err := c.one(ctx, kubeRequest{group: kubeCore, resource: kubeNodes, name: strings.ToLower(name)}, &n)
			if kin, sure := here.kinship(&n); found && (kin == ThisNode || kin == SameKernel && !sure) {
				return n.Metadata.Name, nil
			}
			if err != nil && !isForbidden(err) {
				return "", err
			}
		}
		var same, perhaps []string
		err = pages(ctx, c, kubeRequest{group: kubeCore, resource: kubeNodes}, func(n *kubeNode) bool {
			switch kin, sure := here.kinship(n); {
			case checkName("", n.Metadata.Name, "") != nil:
			case kin == ThisNode:
				same = append(same, n.Metadata.Name)
			case kin == SameKernel && !sure:
				perhaps = append(perhaps, n.Metadata.Name)
			}
			return true
		})
		if len(same) == 0 {
			same = perhaps
		}
		if err != nil || len(same) != 1 {
			return "", err
		}
		return same[0], nil
	})
}

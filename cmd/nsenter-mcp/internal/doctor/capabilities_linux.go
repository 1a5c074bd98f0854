package doctor

import (
	"os"
	"slices"
	"strings"

	"nsenter-mcp/internal/dispatch"

	"golang.org/x/sys/unix"
)

// capability is one that network tools can need (capabilities(7)).
type capability struct {
	name string
	bit  uint
	cost string
}

func knownCapabilities() []capability {
	return []capability{
		{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN, "no network namespace can be entered"},
		{"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE, "the namespaces and files of most processes cannot be opened, so their pods cannot be entered"},
		{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN, "firewall rules, connection tracking and some socket details cannot be read"},
		{"CAP_NET_RAW", unix.CAP_NET_RAW, "failed connections are explained less: no packet sockets in the target"},
		{"CAP_DAC_READ_SEARCH", unix.CAP_DAC_READ_SEARCH, "files of containers that only their owner may read are closed"},
		{"CAP_SYS_CHROOT", unix.CAP_SYS_CHROOT, "mount namespaces cannot be entered"},
	}
}

// capabilities holds those in the set effective against those that the tools
// declare. One that every tool needs is essential; one that none needs is only
// mentioned. missing are those that some tool needs.
func capabilities(effective uint64, list []dispatch.Tool) (checks []Check, missing []string) {
	for _, known := range knownCapabilities() {
		check := Check{ID: strings.ToLower(known.name), Status: OK, Detail: "there"}
		users := needing(list, known.name)
		switch has := effective&(1<<known.bit) != 0; {
		case has:
		case len(users) == 0:
			check.Status, check.Detail = Info, "missing; no tool that is offered needs it"
		case len(users) == len(list):
			check.Status, check.Detail, check.Cost = Fail, "missing", known.cost
			missing = append(missing, known.name)
		default:
			check.Status, check.Cost = Warn, known.cost
			check.Detail = "missing, needed by " + strings.Join(users, ", ")
			missing = append(missing, known.name)
		}
		checks = append(checks, check)
	}
	return checks, missing
}

func needing(list []dispatch.Tool, name string) []string {
	var names []string
	for _, t := range list {
		if slices.Contains(t.Capabilities, name) {
			names = append(names, t.Name)
		}
	}
	return names
}

// effectiveCapabilities are those of the calling thread (capget(2)), and so of all.
func effectiveCapabilities() (uint64, error) {
	var data [2]unix.CapUserData
	err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0])
	return uint64(data[0].Effective) | uint64(data[1].Effective)<<32, os.NewSyscallError("capget", err)
}

// Package doctor finds out whether nsenter-mcp can work where it runs: it tries
// what the tools need, and says what a lack costs and how to mend it. It changes
// nothing: the network namespace that it enters is its own and gone afterwards.
package doctor

import (
	"context"
	"os"
	"slices"
	"strings"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
)

// Status is the outcome of one check.
type Status string

// The outcomes. Only Fail makes the report as a whole a bad one; a Warn that is
// Essential withholds the word that all is ready.
const (
	OK   Status = "ok"
	Info Status = "info" // worth knowing, nothing is missing
	Warn Status = "warn" // some tools or targets do not work
	Fail Status = "fail" // nothing works
)

// Check is one thing that was tried.
type Check struct {
	ID     string `json:"id"`
	Status Status `json:"status"`
	Detail string `json:"detail"`         // what was found
	Cost   string `json:"cost,omitempty"` // what does not work because of it
	Fix    string `json:"fix,omitempty"`
	// Essential: whoever starts out with this Warn does not get what he came for.
	Essential bool `json:"essential,omitempty"`
}

// Tool says what is to be expected of one tool here.
type Tool struct {
	Name  string    `json:"name"`
	State ToolState `json:"state"`
	// Lacks names the capabilities that it lacks and the checks that failed.
	Lacks []string `json:"lacks"`
}

// ToolState is how well a tool works.
type ToolState string

// The states. A limited tool works for some targets only.
const (
	Works   ToolState = "works"
	Limited ToolState = "limited"
	Broken  ToolState = "broken"
)

// Report is what doctor prints.
type Report struct {
	OK     bool    `json:"ok"`
	Checks []Check `json:"checks"`
	Tools  []Tool  `json:"tools"`
	// Grant are ways to run the program with the capabilities that it lacks;
	// one suffices.
	Grant []Way `json:"grant"`
}

// Way is one way to give the program its capabilities.
type Way struct {
	How string `json:"how"`
	Use string `json:"use"`
}

// Config is what is examined. Everything in it stays the caller's.
type Config struct {
	Home     *nsexec.Home
	Host     *nsexec.Handle // the node's network namespace, as far as it is known
	HostRoot string
	// Sources asks everybody who knows workloads.
	Sources func(context.Context) (resolve.Inventory, error)
	// Kubernetes asks the API what it allows.
	Kubernetes func(context.Context) (resolve.KubeReport, error)
	Tools      []dispatch.Tool
	// Policy describes what the operator allows.
	Policy []Check
	// Journey tries to follow packets through the node; nil where it is switched off.
	Journey func() error
	// Front leads to other nodes; nil where the server looks at its own only.
	Front *Front
	// Executable is the path of the program, for the advice.
	Executable string
}

// Run makes all checks. It takes as long as the slowest source, 2 s at most, and
// the way to another node where one is to be tried.
func Run(ctx context.Context, cfg Config) Report {
	r := Report{Checks: []Check{}, Grant: []Way{}}
	missing, supported := cfg.machine(ctx, &r)
	useful := supported && !r.failed() // by itself
	if cfg.Front != nil {
		r.forgive()
		supported = true
	}
	if supported {
		found, err := cfg.Sources(ctx)
		r.addSources(found, err, cfg.Front != nil)
		report, err := cfg.Kubernetes(ctx)
		r.addKubernetes(report, err, cfg.Front != nil)
	}
	if cfg.Front != nil {
		cfg.Front.examine(ctx, &r, useful)
	}
	if useful && cfg.Journey != nil {
		r.addJourney(cfg.Journey())
	}
	r.Checks = append(r.Checks, cfg.Policy...)
	r.judge(cfg.Tools, missing)
	if len(missing) > 0 {
		r.Grant = grant(missing, cfg.Executable, os.Geteuid())
	}
	return r
}

// failed reports whether something essential is missing so far.
func (r *Report) failed() bool {
	return slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Status == Fail })
}

func (r *Report) add(c Check) { r.Checks = append(r.Checks, c) }

// judge derives from the checks what works.
func (r *Report) judge(list []dispatch.Tool, missing []string) {
	var failed []string
	for _, c := range r.Checks {
		if c.Status == Fail {
			failed = append(failed, c.ID)
		}
	}
	r.OK = len(failed) == 0
	r.Tools = make([]Tool, len(list))
	for i, t := range list {
		state, lacks := Works, append([]string{}, failed...)
		for _, c := range t.Capabilities {
			if id := strings.ToLower(c); slices.Contains(missing, c) && !slices.Contains(lacks, id) {
				lacks = append(lacks, id)
			}
		}
		switch {
		case len(failed) > 0:
			state = Broken
		case len(lacks) > 0:
			state = Limited
		}
		r.Tools[i] = Tool{Name: t.Name, State: state, Lacks: lacks}
	}
}

// addSources reports who could be asked for workloads of this machine. front: calls
// are to go to other nodes.
func (r *Report) addSources(found resolve.Inventory, err error, front bool) {
	const cost = "pods and containers that only it knows cannot be named"
	if err != nil {
		r.add(Check{ID: "sources", Status: Warn, Essential: !front, Detail: err.Error(), Cost: cost})
		return
	}
	for _, s := range found.Sources {
		c := Check{ID: "source." + s.Name, Status: OK}
		switch s.State {
		case "ok":
			c.Detail = words.Plural(s.Workloads, "workload") + " in " + milliseconds(s.MS)
			if s.Version != "" {
				c.Detail = s.Version + ": " + c.Detail
			}
		case "absent":
			c.Status, c.Detail = Info, "not on this machine"
			if s.Error != "" {
				c.Detail += " (" + strings.TrimSuffix(s.Error, ": "+resolve.ErrAbsent.Error()) + ")"
			}
		default:
			c.Status, c.Detail, c.Cost = Warn, s.State, cost
			c.Fix = "see whether the service runs, and whether this user may use its socket"
			if s.Error != "" {
				c.Detail += ": " + s.Error
				if s.Untrusted != "" {
					c.Detail += "; it says: " + s.Untrusted
				}
			}
		}
		r.add(c)
	}
	if found.NoNames {
		r.add(Check{
			ID: "sources", Status: Warn, Essential: !front, Detail: "nobody who knows the names of pods or containers answered",
			Cost: "targets can be named by pid, netns and ID only",
			Fix:  "run it on the node where the pods are; in a container, mount the runtime's socket",
		})
	}
}

// addJourney reports whether packets can be followed through the node.
func (r *Report) addJourney(err error) {
	check := Check{ID: "journey", Status: OK, Detail: "packets of probes that get no answer can be followed through this node"}
	if err != nil {
		check.Status, check.Detail = Warn, err.Error()
		check.Cost = "a packet that is lost on the node is not found there; all else works"
		check.Fix = "it takes CAP_SYS_ADMIN (or CAP_BPF and CAP_PERFMON), Linux 5.17 or later with BTF (/sys/kernel/btf/vmlinux), and bpf(2) allowed by seccomp and lockdown"
	}
	r.add(check)
}

// grant lists the ways to get capabilities, for this program at path, started by uid.
func grant(capabilities []string, path string, uid int) []Way {
	bare := make([]string, len(capabilities))
	for i, c := range capabilities {
		bare[i] = strings.TrimPrefix(c, "CAP_")
	}
	ways := []Way{
		{"as root", "sudo " + path},
		{"systemd", "AmbientCapabilities=" + strings.Join(capabilities, " ") + ", as in deploy/nsenter-mcp.service"},
		{"container", "hostPID: true, securityContext.capabilities.add: [" + strings.Join(bare, ", ") + "]"},
	}
	if uid > 0 { // -1 on Windows
		ways = append(ways, Way{"podman", "podman unshare " + path + ", for this user's containers of rootless podman alone"})
	}
	return ways
}

package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"nsenter-mcp/cmd/nsenter-mcp/internal/config"
	"nsenter-mcp/cmd/nsenter-mcp/internal/doctor"
	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/probe/journey"
)

// kubernetesLimit is for all questions to the API: a person waits, and a
// credential plugin may take some seconds.
const kubernetesLimit = 10 * time.Second

const doctorHelp = `Find out whether nsenter-mcp can work here. It really enters a network namespace
(one that it makes, and that is gone afterwards) and comes back, looks at the
capabilities it has, the kernel, the container runtimes that answer and the view
of the host, and says for each lack what it costs and how to mend it. With --via
it looks whether the command is there, and with --node NAME goes to that node.

The exit code is 0 if the tools work, if only in part, and 1 if they do not.`

func newDoctor(o *options) *cobra.Command {
	var asJSON bool
	var node string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out whether it can work here, and what is missing",
		Long:  doctorHelp,
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := examine(cmd, o, node)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), report, true)
			} else {
				err = report.Print(cmd.OutOrStdout())
			}
			if err == nil && !report.OK {
				err = errReported
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&node, "node", "", "`name` of a node to go to with the command of --via")
	return cmd
}

func examine(cmd *cobra.Command, o *options, other string) (doctor.Report, error) {
	log, err := o.logger(cmd.ErrOrStderr(), slog.LevelWarn)
	if err != nil {
		return doctor.Report{}, err
	}
	n, err := o.open(log)
	if err != nil {
		return doctor.Report{}, err
	}
	defer func() { _ = n.Close() }() // the process ends
	front, err := n.front(other)
	if err != nil {
		return doctor.Report{}, err
	}
	path, err := os.Executable()
	if err != nil {
		path = "nsenter-mcp"
	}
	return doctor.Run(cmd.Context(), doctor.Config{
		Home: n.home, Host: n.host, HostRoot: n.policy.HostRoot.Or("/"), Tools: n.dispatcher.Tools(), Executable: path,
		Policy:  policyChecks(n.policy),
		Front:   front,
		Journey: checkJourney(n.policy.NoJourney),
		Sources: n.resolver.Discover,
		Kubernetes: func(ctx context.Context) (resolve.KubeReport, error) {
			ctx, cancel := context.WithTimeout(ctx, kubernetesLimit)
			defer cancel()
			execIn := ""
			if n.forwarder != nil {
				execIn = n.forwarder.ExecNamespace()
			}
			return n.kube.Report(ctx, execIn)
		},
	}), nil
}

// checkJourney tries whether packets can be followed; nil where the operator does not
// want that.
func checkJourney(off bool) func() error {
	if off {
		return nil
	}
	return new(journey.Tracer).Check
}

// front is the way to other nodes, for the doctor, and the one to try; nil without
// --via.
func (n *node) front(other string) (*doctor.Front, error) {
	switch {
	case n.forwarder == nil && other == "":
		return nil, nil
	case n.forwarder == nil:
		return nil, usagef("--node needs --via, the command that leads there")
	case other != "" && dispatch.CheckNode(other) != nil:
		return nil, usagef("--node: %q %v", other, dispatch.CheckNode(other))
	}
	f := &doctor.Front{Command: n.forwarder.Command(), Node: other}
	f.Path, f.Err = exec.LookPath(f.Command)
	f.Reach = func(ctx context.Context, node string) (version, seen string, err *dispatch.Error) {
		arguments, _ := json.Marshal(map[string]any{"node": node, "timeout_ms": dispatch.MaxDeadline.Milliseconds()}) // cannot fail
		answer := n.dispatcher.Call(ctx, dispatch.Call{Tool: "resolve_pod_pid", Arguments: arguments, Caller: "doctor"})
		return n.forwarder.ServerVersion(node), answer.Summary, answer.Error
	}
	return f, nil
}

// policyChecks say what the server may do and who says so.
func policyChecks(p *config.Policy) []doctor.Check {
	var checks []doctor.Check
	for _, part := range p.Parts() {
		checks = append(checks, doctor.Check{
			ID: "policy." + part.Name, Status: doctor.Info, Detail: part.Value + " (" + part.From + ")",
		})
	}
	return checks
}

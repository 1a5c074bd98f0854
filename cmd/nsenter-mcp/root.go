package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"nsenter-mcp/cmd/nsenter-mcp/internal/config"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/tools"
)

const rootHelp = `nsenter-mcp lets an AI agent look at the network of a container or pod from the
inside: which process it is, its interfaces and addresses, and so on. It enters
the network namespace itself; the image needs no tools and no shell, and a pod
that crashes again and again works like any other.

Without a command it is an MCP server on standard input and output, which is how
an agent's program starts it. On a terminal it explains that instead.

It has to run on the node where the pods are, as root or with the capabilities
that 'nsenter-mcp doctor' names. Your agent may be elsewhere: let it start the
server through ssh, or one with --via on your own machine, which goes to the
node of each pod by itself.

What it may do at most, the operator says in /etc/nsenter-mcp.yaml, which only
root can write; flags narrow it. docs/security.md has an example.

DOCKER_HOST and its companions mean what they mean to docker, KUBECONFIG what it
means to kubectl. NODE_NAME is this node's name in Kubernetes.`

const rootExamples = `  nsenter-mcp doctor                              can it work here, and what is missing
  nsenter-mcp tools                               what an agent can ask
  nsenter-mcp call resolve_pod_pid                what is on this node
  nsenter-mcp call netns_ip_addr pod=shop/web-0   the interfaces of a pod
  ssh -T node sudo -n nsenter-mcp                 the server on another node, for an agent here
  nsenter-mcp --via 'ssh -T {node} sudo -n nsenter-mcp'   a server for the pods of all nodes`

func newRoot() *cobra.Command {
	o := &options{operatorFile: config.Path}
	showVersion := false
	root := &cobra.Command{
		Use:           "nsenter-mcp",
		Short:         "An MCP server that looks at pods' networks from the inside",
		Long:          rootHelp,
		Example:       rootExamples,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          func(cmd *cobra.Command, args []string) error { return checkCommand(cmd, args) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showVersion {
				return printVersion(cmd.OutOrStdout())
			}
			return serveStdio(cmd, o)
		},
	}
	// Not cobra's, whose template would bring text/template into the program: with
	// that, the linker has to keep every method of every type, 6 MB of them.
	root.Flags().BoolVar(&showVersion, "version", false, "print the version")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%v", err) })
	o.register(root.PersistentFlags())
	root.AddCommand(newServe(o), newCall(o), newTools(o), newDoctor(o), newVersion())
	return root
}

// checkCommand refuses words that are no command and says what was probably
// meant.
func checkCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	word := args[0]
	var toolNames, commands []string
	for _, t := range tools.All() {
		toolNames = append(toolNames, t.Name)
		if t.Name == word {
			return usagef("%s is a tool, not a command; did you mean 'nsenter-mcp call %s'?", word, word)
		}
	}
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			commands = append(commands, c.Name())
		}
	}
	text := fmt.Sprintf("there is no command %q", word)
	if near := words.Closest(word, commands, 1); len(near) == 1 {
		return usagef("%s; did you mean 'nsenter-mcp %s'?", text, near[0])
	}
	if near := words.Closest(word, toolNames, 1); len(near) == 1 {
		return usagef("%s; did you mean 'nsenter-mcp call %s'?", text, near[0])
	}
	return usagef("%s", text)
}

// exactly wraps cobra's check of the number of arguments as a usage error.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s takes %s, not %d", cmd.CommandPath(), what, len(args))
		}
		return nil
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"nsenter-mcp/internal/mcpserve"
)

// serveStdio is what the program does without a command.
func serveStdio(cmd *cobra.Command, o *options) error {
	if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return greet(cmd.OutOrStdout())
	}
	log, err := o.logger(cmd.ErrOrStderr(), slog.LevelInfo)
	if err != nil {
		return err
	}
	n, err := o.open(log)
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }() // the process ends
	server := mcpserve.New(mcpserve.Config{
		Dispatcher: n.dispatcher, Version: buildInfo().Version, Logger: log, Caller: stdioCaller(),
	})
	// Go ends a program that writes to a standard output that nobody reads any
	// more, unless somebody listens for the signal (os/signal, "SIGPIPE"). The
	// write then fails, and the server ends in order.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	log.Info("serving on standard input and output", slog.String("version", buildInfo().Version))
	return server.ServeStdio(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
}

// greet tells a person what to do with a program that is meant to be started
// by another one.
func greet(w io.Writer) error {
	path, err := os.Executable()
	if err != nil {
		path = "/usr/local/bin/nsenter-mcp"
	}
	here, err := clientConfig("sudo", "-n", path)
	if err != nil {
		return err
	}
	there, err := clientConfig("ssh", "-T", "-o", "BatchMode=yes", "NODE", "sudo", "-n", path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `This is nsenter-mcp, an MCP server: the program of your AI agent starts it and
talks to it through standard input and output. There is nothing to type here.

For an agent on this machine, put this into its configuration of MCP servers:

%[1]s

For an agent elsewhere that reaches this machine by ssh as NODE:

%[2]s

Neither ssh nor sudo can ask for a password then. This line in a file below
/etc/sudoers.d lets USER start this server, and nothing else, without one ("" is
part of it, and allows no arguments; version is there to try the way by hand):

  USER ALL=(root) NOPASSWD: %[3]s "", %[3]s version

Then ask your agent, for example: "which pods are on this node, and what
addresses do they have?"

  nsenter-mcp doctor   can it work here, and what is missing
  nsenter-mcp --help   everything else
`, here, there, path)
	return err
}

// clientConfig is an entry in the form that most agents' programs read.
func clientConfig(command ...string) (string, error) {
	args, err := json.Marshal(command[1:])
	return fmt.Sprintf(`  {"mcpServers": {"nsenter-mcp": {
    "command": %q,
    "args": %s
  }}}`, command[0], args), err
}

// stdioCaller is who asks, for the audit log: behind sudo, the account that called it
// (sudo(8), SUDO_UID and SUDO_USER), where the two agree. Without root anybody may have
// written them.
func stdioCaller() string {
	name := os.Getenv("SUDO_USER")
	if account, err := user.LookupId(os.Getenv("SUDO_UID")); err == nil && os.Geteuid() == 0 && account.Username == name {
		return "stdio:" + name
	}
	return "stdio"
}

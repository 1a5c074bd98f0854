// Command demo shows nsenter-mcp at work without a cluster: it makes a node with
// five pods out of network namespaces, three of them in trouble, starts the
// program as an MCP server, and asks as an agent would.
//
// The demo is a program of its own, since a lab in a program that runs with
// privileges would make namespaces for whoever starts it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"nsenter-mcp/internal/lab"
)

const usage = `usage: demo [PATH]

Watch nsenter-mcp at work without a cluster: makes a node with five pods out of
network namespaces, three of them in trouble, starts the nsenter-mcp at PATH
(default: the one beside this program) as a server, and asks the server as an
agent would: one question a pod, and then only what the answers propose.

Nothing of this machine is touched or reached: everything lives in namespaces
without a way out and ends with the command. The demo needs no root where user
namespaces are allowed.
`

func main() {
	lab.Main() // the containers of the demo are processes of this executable
	// The main thread must stay out of namespaces (package nsexec), so the main
	// goroutine, which is locked to it, only waits.
	code := make(chan int)
	go func() { code <- run(os.Args[1:]) }()
	os.Exit(<-code)
}

// run carries out the command line and returns the exit code.
func run(args []string) int {
	if len(args) > 1 || len(args) == 1 && args[0][:min(1, len(args[0]))] == "-" {
		_, _ = fmt.Fprint(os.Stderr, usage)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := show(ctx, args); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		return 1
	}
	return 0
}

func show(ctx context.Context, args []string) error {
	server, err := serverPath(args)
	if err != nil {
		return err
	}
	// This runs the program again in fresh namespaces and returns there.
	if err := lab.Isolate(); err != nil {
		return fmt.Errorf("make the demo's own namespaces: %w (root can; others where user namespaces are allowed)", err)
	}
	return demo(ctx, server, os.Stdout, os.Stderr)
}

// serverPath is the absolute path of the nsenter-mcp to show.
func serverPath(args []string) (string, error) {
	path := ""
	if len(args) == 1 {
		path = args[0]
	} else {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find this program: %w", err)
		}
		path = filepath.Join(filepath.Dir(self), "nsenter-mcp")
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("nsenter-mcp is not there: %w; build it and give its path", err)
	}
	return filepath.Abs(path)
}

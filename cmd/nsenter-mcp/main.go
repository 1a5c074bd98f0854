// Command nsenter-mcp is an MCP server that lets an AI agent look at the
// network of a container or pod from the inside. Run it with --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"nsenter-mcp/internal/words"
)

func main() {
	// The main thread must stay out of namespaces (package nsexec), so the main
	// goroutine, which is locked to it, only waits.
	code := make(chan int)
	errOut := newLogQueue(os.Stderr, maxLogQueue)
	go func() { code <- run(os.Args[1:], os.Stdin, os.Stdout, errOut) }()
	go endInTime()
	exit := <-code
	errOut.close(time.Second)
	os.Exit(exit)
}

// grace is how long the program takes to end when it is told to, at most.
const grace = 12 * time.Second

// endInTime ends the program some time after the signal that ends it in order,
// whatever hangs.
func endInTime() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, os.Interrupt, syscall.SIGTERM)
	<-told
	signal.Stop(told)
	time.Sleep(grace)
	os.Exit(exitFailed)
}

// Exit codes. A tool that could not do its work is exitFailed.
const (
	exitFailed = 1
	exitUsage  = 2
)

// run carries out one command line and returns the exit code.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	if err := refuseSecureExecution(); err != nil {
		_, _ = fmt.Fprintf(errOut, "nsenter-mcp: %v\n", err)
		return exitFailed
	}
	limitMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once

	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	say := func(err error) {
		_, _ = fmt.Fprintf(errOut, "nsenter-mcp: %s\n", words.Escape(words.OneLine(err.Error())))
	} // one line
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return exitFailed
	case errors.As(err, &usage):
		say(err)
		_, _ = fmt.Fprintln(errOut, "Run 'nsenter-mcp --help' for what there is.")
		return exitUsage
	default:
		say(err)
		return exitFailed
	}
}

// errReported ends a command that has already said what went wrong.
var errReported = errors.New("failed")

// usageError is a command line that cannot be carried out.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

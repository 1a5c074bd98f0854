package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/mcpserve"
	"nsenter-mcp/tools/fact"
)

// asCommand makes the test binary the command of a template: its arguments are
// what it does, a folder for what it leaves to be seen, and the node.
const asCommand = "NSENTER_MCP_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) == "" {
		_ = os.Setenv(asCommand, "1") // for the commands that tests start
		os.Exit(m.Run())
	}
	if err := beCommand(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// beCommand is the command on its way to a node.
func beCommand(what, dir string) error {
	if err := note(dir, "started", os.Getpid()); err != nil {
		return err
	}
	switch what {
	case "serve":
		return serveCalls(dir, "1")
	case "other-version":
		return serveCalls(dir, "2")
	case "greet": // as a login shell that prints the message of the day
		fmt.Print("Welcome to node-7!\nLast login: never\n")
		return serveCalls(dir, "1")
	case "refuse":
		fmt.Fprint(os.Stderr, "\x1b[31mme@node: Permission denied (publickey).\n")
		os.Exit(255)
	case "chatter": // more than is kept of it
		fmt.Fprint(os.Stderr, strings.Repeat("x", 3*maxSaid)+"the last word")
		os.Exit(3)
	case "end":
		return nil
	case "garbage":
		for {
			if _, err := fmt.Println("\x1b[2Jno message, whatever you ask"); err != nil {
				return err
			}
		}
	case "endless": // a line that begins like a message
		for fmt.Print(`{"jsonrpc":"2.0","x":"`); ; {
			if _, err := os.Stdout.WriteString(strings.Repeat("x", 1<<16)); err != nil {
				return err
			}
		}
	case "another": // a server, but not ours
		line := make([]byte, 1<<16)
		if _, err := os.Stdin.Read(line); err != nil {
			return err
		}
		fmt.Println(`{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"weather","version":"1"}}}`)
	case "older": // it says nothing of what the calls of today carry
		line := make([]byte, 1<<16)
		if _, err := os.Stdin.Read(line); err != nil {
			return err
		}
		fmt.Println(`{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"nsenter-mcp","version":"0"}}}`)
	case "close-input", "close-output":
		pipe := map[string]*os.File{"close-input": os.Stdin, "close-output": os.Stdout}[what]
		if err := errors.Join(pipe.Close(), note(dir, "closed", what)); err != nil {
			return err
		}
	case "hang":
	case "stubborn": // ends neither with its input nor when it is asked, nor does its child
		signal.Ignore(syscall.SIGTERM)
		child := exec.Command(os.Args[0], "child", dir)
		out, err := child.StdoutPipe()
		if err != nil {
			return err
		}
		if err := child.Start(); err != nil {
			return err
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			return err
		}
		return serveThen(dir, func() { select {} })
	case "child":
		signal.Ignore(syscall.SIGTERM)
		fmt.Print("x")
	}
	<-time.After(time.Hour)
	return nil
}

// note writes a line into a file of dir.
func note(dir, name string, what any) error {
	f, err := os.OpenFile(dir+"/"+name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = fmt.Fprintln(f, what)
	return err
}

func serveCalls(dir, version string) error {
	s := mcpserve.New(mcpserve.Config{
		Dispatcher: farEnd{dir}, Version: version, Logger: slog.New(slog.DiscardHandler),
	})
	return s.ServeStdio(context.Background(), os.Stdin, os.Stdout)
}

func serveThen(dir string, then func()) error {
	if err := serveCalls(dir, "1"); err != nil {
		return err
	}
	then()
	return nil
}

// farEnd has tools that do what a test is about. It stands for a node's dispatcher
// behind the real protocol.
type farEnd struct{ dir string }

func (farEnd) Instructions() string { return "" }

func (farEnd) Tools() []dispatch.Tool {
	var all []dispatch.Tool
	for _, name := range []string{"echo", "wait", "die", "report", "fail", "large", "bare"} {
		all = append(all, dispatch.Tool{
			Spec:         dispatch.Spec{Name: name, Title: name, Description: name, Purpose: name, Toolset: dispatch.Inspect, Deadline: 10 * time.Second},
			InputSchema:  json.RawMessage(`{"type":"object","properties":{}}`),
			OutputSchema: json.RawMessage(`{"type":"object","properties":{}}`),
		})
	}
	return all
}

// echoed is what echo answers with.
type echoed struct {
	PID       int                 `json:"pid"`
	Node      string              `json:"node"`
	Arguments json.RawMessage     `json:"arguments"`
	Forwarded bool                `json:"forwarded"`
	Narrowing *dispatch.Narrowing `json:"narrowing,omitempty"`
}

func (f farEnd) Call(ctx context.Context, c dispatch.Call) *dispatch.Envelope {
	answer := &dispatch.Envelope{Summary: "done.", Findings: []fact.Finding{}, Notes: []dispatch.Note{}, Next: []dispatch.Next{}}
	refuse := func(code, message string) *dispatch.Envelope {
		answer.Summary = message
		answer.Error = &dispatch.Error{Code: code, Stage: "arguments", Message: message, Hint: "h", Details: dispatch.ErrorDetails{Valid: []string{"echo"}}}
		return answer
	}
	switch c.Tool {
	case "echo":
		answer.Target = &dispatch.TargetInfo{Pod: "web", NetnsCookie: 1<<63 + 1, Via: "sandbox"}
		answer.Data = echoed{os.Getpid(), os.Args[len(os.Args)-1], c.Arguments, c.Forwarded, c.Narrowing}
		answer.Next = []dispatch.Next{{Tool: "echo", Arguments: map[string]any{"expect": uint64(1<<63 + 1)}, Why: "w"}}
	case "wait":
		_ = note(f.dir, "waiting", "w")
		<-ctx.Done()
		_ = note(f.dir, "cancelled", "c")
	case "die":
		fmt.Fprint(os.Stderr, "out of memory")
		os.Exit(7)
	case "report":
		for i := range 3 {
			c.Progress(dispatch.Progress{Done: float64(i + 1), Total: 3, Message: "step"})
		}
	case "fail":
		return refuse(dispatch.CodeUnknownArgument, "unknown argument")
	case "large":
		answer.Data = strings.Repeat("x", maxLine)
	case "bare":
		return &dispatch.Envelope{}
	default:
		return refuse(dispatch.CodeUnknownTool, "unknown tool")
	}
	return answer
}

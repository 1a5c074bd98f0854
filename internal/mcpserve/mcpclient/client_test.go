package mcpclient

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/mcpserve"
	"nsenter-mcp/tools"
)

// asServer makes the test binary a server of the program's tools, without
// anything behind them.
const asServer = "NSENTER_MCP_TEST_AS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) == "" {
		os.Exit(m.Run())
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	d, err := dispatch.NewDispatcher(dispatch.Config{Tools: tools.All(), Policy: dispatch.DefaultPolicy()})
	if err != nil {
		return err
	}
	s := mcpserve.New(mcpserve.Config{Dispatcher: d, Version: "7", Logger: slog.New(slog.DiscardHandler)})
	return s.ServeStdio(context.Background(), os.Stdin, os.Stdout)
}

func start(t *testing.T) *Client {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), asServer+"=1")
	cmd.Stderr = os.Stderr
	c, err := Start(ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConversation(t *testing.T) {
	t.Parallel()
	c := start(t)
	if s := c.Server(); s.Name != "nsenter-mcp" || s.Version != "7" || s.Protocol == "" || s.Instructions == "" {
		t.Errorf("%+v", s)
	}
	list, err := c.Tools(t.Context())
	if err != nil || len(list) != len(tools.All()) || list[0].Title == "" || list[0].Description == "" {
		t.Errorf("%v %+v", err, list)
	}
	r, err := c.Call(t.Context(), list[0].Name, map[string]any{"no_such_argument": 1})
	if err != nil || !r.IsError || !strings.Contains(string(r.JSON), "unknown_argument") {
		t.Errorf("%v %s", err, r.JSON)
	}
	if _, err := c.Call(t.Context(), "no_such_tool", nil); err == nil {
		t.Error("no error for an unknown tool")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestStartOfWhatIsNoServer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, path := range []string{"/nonexistent/server", "/bin/true"} {
		if _, err := Start(ctx, exec.CommandContext(t.Context(), path)); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
}

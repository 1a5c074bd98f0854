//go:build e2e

package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"testing"
	"time"

	"nsenter-mcp/internal/mcpserve/mcpclient"
)

// answer is the envelope of every tool, as far as these tests read it.
type answer struct {
	Summary string
	Target  struct {
		Pod, Namespace, Container, Via, Node string

		PID         int
		NetnsInode  uint64 `json:"netns_inode"`
		NetnsCookie uint64 `json:"netns_cookie"`
		HostNetwork bool   `json:"host_network"`
	}
	Data     json.RawMessage
	Findings []struct{ Code, Fact string }
	Notes    []struct{ Code, Message string }
	Next     []struct {
		Tool      string
		Arguments map[string]any
	}
	Error *struct {
		Code, Stage, Message, Hint string
		Details                    struct {
			Was, Is   uint64
			State     string
			Node      string
			ExitCode  *int            `json:"exit_code"`
			Untrusted json.RawMessage `json:"untrusted"`
			Steps     []struct{ Source, Outcome, Detail string }
		}
	}

	raw json.RawMessage
}

// args are a call's arguments.
type args = map[string]any

// client is a running server of the program under test, and who speaks to it.
type client struct {
	*mcpclient.Client
	pid    int
	stderr *bytes.Buffer // to be read when the server has ended
}

// serve starts the program with flags, as an agent's host program does.
func serve(t testing.TB, flags ...string) *client {
	t.Helper()
	cmd := exec.Command(program(), flags...)
	return start(t, cmd)
}

// start is serve for any command that leads to a server.
func start(t testing.TB, cmd *exec.Cmd) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	c := &client{stderr: new(bytes.Buffer)}
	cmd.Stderr = c.stderr
	var err error
	if c.Client, err = mcpclient.Start(ctx, cmd); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, c.stderr.Bytes())
	}
	c.pid = cmd.Process.Pid
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("end of %s: %v", cmd, err)
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", cmd, tail(c.stderr.Bytes(), 4000))
		}
	})
	return c
}

// ask makes one call. It fails the test if the protocol fails, not if the tool
// does.
func (c *client) ask(t testing.TB, tool string, in args) answer {
	t.Helper()
	a, err := c.try(t.Context(), tool, in)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// try is ask for any goroutine.
func (c *client) try(ctx context.Context, tool string, in args) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	result, err := c.Call(ctx, tool, in)
	if err != nil {
		return answer{}, err
	}
	a := answer{raw: result.JSON}
	return a, json.Unmarshal(result.JSON, &a)
}

// succeed is ask for what must be no error.
func (c *client) succeed(t testing.TB, tool string, in args) answer {
	t.Helper()
	a := c.ask(t, tool, in)
	if a.Error != nil {
		t.Fatalf("%s %v: %s", tool, in, a.raw)
	}
	return a
}

// fail is ask for what must be the error code.
func (c *client) fail(t testing.TB, code, tool string, in args) answer {
	t.Helper()
	a := c.ask(t, tool, in)
	switch {
	case a.Error == nil:
		t.Fatalf("%s %v is no error: %s", tool, in, a.Summary)
	case a.Error.Code != code:
		t.Fatalf("%s %v: code %s, want %s: %s", tool, in, a.Error.Code, code, a.raw)
	case a.Error.Hint == "":
		t.Errorf("%s %v: %s comes without a hint", tool, in, code)
	}
	return a
}

// decode reads the tool's own part of an answer.
func decode[T any](t testing.TB, a answer) T {
	t.Helper()
	var data T
	if err := json.Unmarshal(a.Data, &data); err != nil {
		t.Fatalf("%v in %s", err, a.Data)
	}
	return data
}

// field reads one field of the tool's own part of an answer.
func field[T any](a answer, name string) (T, error) {
	var all map[string]json.RawMessage
	var value T
	if err := json.Unmarshal(a.Data, &all); err != nil {
		return value, err
	}
	return value, json.Unmarshal(all[name], &value)
}

func tail(text []byte, limit int) []byte { return text[max(0, len(text)-limit):] }

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"nsenter-mcp/internal/mcpserve/mcpclient"
)

// conversation asks a server and prints what is said. It goes on after a
// failure, so that one fault does not hide the next.
type conversation struct {
	client *mcpclient.Client
	out    io.Writer
	last   answer
	failed []error
}

// answer is the part of an envelope that a person reads.
type answer struct {
	Summary  string `json:"summary"`
	Findings []struct {
		Code string `json:"code"`
		Fact string `json:"fact"`
	} `json:"findings"`
	Notes []struct {
		Message string `json:"message"`
	} `json:"notes"`
	Next []struct {
		Tool      string         `json:"tool"`
		Arguments map[string]any `json:"arguments"`
		Why       string         `json:"why"`
	} `json:"next"`
	Error *struct {
		Code string `json:"code"`
		Hint string `json:"hint"`
	} `json:"error"`
}

// say prints. Once nobody reads any more, the demo has failed too.
func (c *conversation) say(format string, args ...any) {
	if _, err := fmt.Fprintf(c.out, format, args...); err != nil {
		c.failed = append(c.failed, err)
	}
}

// introduce prints who the server is and what it offers.
func (c *conversation) introduce(ctx context.Context) {
	s := c.client.Server()
	c.say("\nIt runs as a server of its own: %s %s, MCP %s.\n\n", s.Name, s.Version, s.Protocol)
	list, err := c.client.Tools(ctx)
	if err != nil {
		c.fail(err)
		return
	}
	for _, t := range list {
		c.say("  %-18s %s\n", t.Name, t.Title)
	}
}

// ask calls a tool and prints the call and the answer.
func (c *conversation) ask(ctx context.Context, question, tool string, arguments map[string]any) {
	c.last = answer{}
	sent, err := json.Marshal(arguments)
	if err != nil {
		c.fail(err)
		return
	}
	if arguments == nil {
		sent = []byte("{}")
	}
	c.say("\n%s\n  > %s %s\n", question, tool, sent)
	start := time.Now()
	result, err := c.client.Call(ctx, tool, arguments)
	took := time.Since(start)
	if err != nil {
		c.fail(err)
		return
	}
	d := json.NewDecoder(bytes.NewReader(result.JSON))
	d.UseNumber() // a netns cookie in next does not fit into a float64
	if err := d.Decode(&c.last); err != nil {
		c.fail(fmt.Errorf("answer of %s: %w", tool, err))
		return
	}
	c.print(took)
	if result.IsError {
		c.fail(fmt.Errorf("%s: %s", tool, c.last.Summary))
	}
}

func (c *conversation) print(took time.Duration) {
	a := c.last
	for i, line := range wrap(a.Summary, 90) {
		mark := "  < "
		if i > 0 {
			mark = "    "
		}
		c.say("%s%s\n", mark, line)
	}
	for _, f := range a.Findings {
		c.say("    finding %s: %s\n", f.Code, f.Fact)
	}
	for _, n := range a.Notes {
		c.say("    note: %s\n", n.Message)
	}
	if a.Error != nil && a.Error.Hint != "" {
		c.say("    hint: %s\n", a.Error.Hint)
	}
	for _, n := range a.Next {
		c.say("    next: %s, to %s\n", n.Tool, n.Why)
	}
	c.say("    (%.1f ms)\n", float64(took.Microseconds())/1000)
}

// follow does what the last answer proposed first, as it was proposed.
func (c *conversation) follow(ctx context.Context, question string) {
	if len(c.last.Next) == 0 {
		c.fail(errors.New("the answer proposed no next step"))
		return
	}
	next := c.last.Next[0]
	c.ask(ctx, question, next.Tool, next.Arguments)
}

func (c *conversation) fail(err error) {
	c.say("  ! %v\n", err)
	c.failed = append(c.failed, err)
}

// verdict is nil if every step worked.
func (c *conversation) verdict() error {
	if len(c.failed) > 0 {
		return fmt.Errorf("%d steps of the demo failed", len(c.failed))
	}
	c.say("\nThat is all: pods, server and namespaces are gone when this ends.\n")
	return nil
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"nsenter-mcp/internal/mcpserve/mcpclient"
	"nsenter-mcp/internal/words"
)

// conversation asks a server and prints what is said. It goes on after a
// failure, so that one fault does not hide the next.
type conversation struct {
	client *mcpclient.Client
	out    io.Writer
	last   answer
	calls  int // to the last answer, from the question on
	found  []string
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
	c.calls++
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
	c.paragraph("  < ", a.Summary)
	for _, f := range a.Findings {
		text := "finding " + f.Code
		if !strings.Contains(a.Summary, f.Fact) { // many a summary tells it already
			text += ": " + f.Fact
		}
		c.paragraph("    ", text)
	}
	for _, n := range a.Notes {
		c.paragraph("    ", "note: "+n.Message)
	}
	if a.Error != nil && a.Error.Hint != "" {
		c.paragraph("    ", "hint: "+a.Error.Hint)
	}
	for i, n := range a.Next {
		c.paragraph("    ", fmt.Sprintf("next %d: %s, %s", i+1, n.Tool, n.Why))
	}
	c.say("    (%.1f ms)\n", float64(took.Microseconds())/1000)
}

// paragraph prints a text behind a mark, its later lines indented.
func (c *conversation) paragraph(mark, text string) {
	const width = 92
	for _, line := range words.Wrap(text, width) {
		c.say("%s%s\n", mark, line)
		mark = "      "
	}
}

// pursue asks a question about a pod and then does what the answers propose
// first, until one names a cause or none proposes anything.
func (c *conversation) pursue(ctx context.Context, pod, question, tool string, arguments map[string]any) {
	const most = 5
	c.calls = 0
	c.ask(ctx, question, tool, arguments)
	for c.cause() == "" && len(c.last.Next) > 0 && c.calls < most {
		next := c.last.Next[0]
		c.ask(ctx, "So, as next 1 proposes:", next.Tool, next.Arguments)
	}
	cause := c.cause()
	if cause == "" {
		cause = "nothing is wrong"
	}
	c.found = append(c.found, fmt.Sprintf("%-16s %-22s after %s", pod, cause, words.Plural(c.calls, "call")))
}

// cause is the finding of the last answer that explains, "" for none: that a
// connection got no answer, or was refused, is what was asked about.
func (c *conversation) cause() string {
	for _, f := range c.last.Findings {
		if f.Code != "tcp.timeout" && f.Code != "tcp.refused" {
			return f.Code
		}
	}
	return ""
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
	c.say("\nWhat came of it:\n\n")
	for _, line := range c.found {
		c.say("  %s\n", line)
	}
	c.say("\nThat is all: pods, server and namespaces are gone when this ends.\n")
	return nil
}

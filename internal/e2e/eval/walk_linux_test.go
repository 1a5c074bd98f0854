//go:build e2e

package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"nsenter-mcp/internal/mcpserve/mcpclient"
)

// maxCalls is when a walk gives up: nobody follows proposals for ever.
const maxCalls = 8

// call is a tool with its arguments.
type call struct {
	Tool      string         `json:"tool"`
	Arguments map[string]any `json:"arguments"`
}

// answer is what a walk reads of an envelope.
type answer struct {
	Summary  string
	Target   struct{ Pod, Namespace string }
	Data     struct{ Outcome string }
	Findings []struct{ Code, Fact string }
	Next     []call
	Error    *struct{ Code, Message string }
}

// step is one call of a walk and what came of it.
type step struct {
	call
	answer answer
	bytes  int // of the answer, as the model gets it
	took   time.Duration
}

// onNode reports whether the step looked from the node.
func (s *step) onNode() bool { return s.Arguments["netns"] == "host" }

// follow makes the first call and then what the answers propose, the newest
// proposal first, each once. It ends when enough says so, when nothing is left
// to try, or after maxCalls. It knows nothing of the fault.
func follow(ctx context.Context, client *mcpclient.Client, first call, enough func([]step) bool) ([]step, error) {
	var walked []step
	asked := make(map[string]bool)
	for left := []call{first}; len(left) > 0 && len(walked) < maxCalls; {
		c := left[0]
		left = left[1:]
		key, err := json.Marshal(c) // keys of maps are sorted
		if err != nil {
			return walked, err
		}
		if asked[string(key)] {
			continue
		}
		asked[string(key)] = true
		s, err := c.make(ctx, client)
		if err != nil {
			return walked, err
		}
		walked = append(walked, s)
		if enough(walked) {
			break
		}
		left = slices.Concat(s.answer.Next, left)
	}
	return walked, nil
}

func (c call) make(ctx context.Context, client *mcpclient.Client) (step, error) {
	start := time.Now()
	result, err := client.Call(ctx, c.Tool, c.Arguments)
	if err != nil {
		return step{}, err
	}
	s := step{call: c, bytes: len(result.JSON), took: time.Since(start)}
	d := json.NewDecoder(bytes.NewReader(result.JSON))
	d.UseNumber() // a netns cookie does not fit into a float64
	if err := d.Decode(&s.answer); err != nil {
		return step{}, fmt.Errorf("answer of %s: %w in %s", c.Tool, err, result.JSON)
	}
	return s, nil
}

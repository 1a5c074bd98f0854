//go:build e2e

package conformance

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// round is one call of a tool that needs input from its client, which since
// 2026-07-28 ends with questions and is made again with answers (SEP-2322).
type round struct {
	answers mcp.InputResponses
	state   string
}

// text is the member name of the form that answers the question key; empty
// where there is no such answer.
func (r round) text(key, name string) string {
	answer := server.ElicitationResponse(r.answers, key)
	if answer == nil {
		return ""
	}
	values, _ := answer.Content.(map[string]any)
	text, _ := values[name].(string)
	return text
}

func askName(b *server.InputRequestBuilder, key, message, name string) *server.InputRequestBuilder {
	return b.Elicit(key, form(message, object{name: object{"type": "string"}}, name))
}

func say(format string, args ...any) (*mcp.CallToolResult, error) {
	return mcp.NewToolResultText(fmt.Sprintf(format, args...)), nil
}

// addInputTools adds the tools of the suite's scenarios about input.
func addInputTools(s *server.MCPServer) {
	add := func(name string, do func(context.Context, round) (*mcp.CallToolResult, error)) {
		tool := mcp.NewTool(name, mcp.WithDescription("What the conformance suite calls as "+name))
		s.AddTool(tool, func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return do(ctx, round{r.Params.InputResponses, r.Params.RequestState})
		})
	}
	seal := newSeal()
	add("test_input_required_result_elicitation", greet)
	add("test_streaming_elicitation", greet)
	add("test_input_required_result_sampling", askCapital)
	add("test_input_required_result_list_roots", askRoots)
	add("test_input_required_result_request_state", seal.confirm)
	add("test_input_required_result_tampered_state", seal.confirm)
	add("test_input_required_result_multiple_inputs", seal.askAll)
	add("test_input_required_result_multi_round", seal.askTwice)
	add("test_input_required_result_capabilities", askWhatIsDeclared)
	add("test_missing_capability", needSampling)
	s.AddPrompt(mcp.NewPrompt("test_input_required_result_prompt", mcp.WithPromptDescription("A prompt that needs input")),
		func(_ context.Context, r mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			text := round{answers: r.Params.InputResponses}.text("user_context", "context")
			if text == "" {
				return askName(server.NewInputRequestBuilder(""), "user_context", "What context should the prompt use?", "context").PromptResult(), nil
			}
			return promptOf(mcp.NewTextContent("Answer in the context of " + text)), nil
		})
}

func greet(_ context.Context, r round) (*mcp.CallToolResult, error) {
	if name := r.text("user_name", "name"); name != "" {
		return say("Hello, %s!", name)
	}
	return askName(server.NewInputRequestBuilder(""), "user_name", "What is your name?", "name").ToolResult(), nil
}

func askCapital(_ context.Context, r round) (*mcp.CallToolResult, error) {
	if answer := server.SamplingResponse(r.answers, "capital_question"); answer != nil {
		return say("The model says: %v", answer.Content)
	}
	return server.NewInputRequestBuilder("").Sample("capital_question", question("What is the capital of France?", 100)).ToolResult(), nil
}

func askRoots(_ context.Context, r round) (*mcp.CallToolResult, error) {
	if answer := server.RootsResponse(r.answers, "client_roots"); answer != nil {
		return say("The roots are %v", answer.Roots)
	}
	return server.NewInputRequestBuilder("").Roots("client_roots").ToolResult(), nil
}

// askWhatIsDeclared asks by the means that the client has.
func askWhatIsDeclared(ctx context.Context, r round) (*mcp.CallToolResult, error) {
	if len(r.answers) > 0 {
		return say("thank you")
	}
	b := server.NewInputRequestBuilder("")
	can := server.RequestProtocolInfoFromContext(ctx).ClientCapabilities
	if can.Sampling != nil {
		b.Sample("model", question("What is your name?", 50))
	}
	if can.Elicitation != nil {
		askName(b, "user", "What is your name?", "name")
	}
	return b.ToolResult(), nil
}

func needSampling(ctx context.Context, _ round) (*mcp.CallToolResult, error) {
	if server.RequestProtocolInfoFromContext(ctx).ClientCapabilities.Sampling == nil {
		return nil, mcp.MissingRequiredClientCapabilityError{Capability: "sampling"}
	}
	return say("sampling is there")
}

// seal protects a state that goes through the client.
type seal []byte

func newSeal() seal { return []byte(rand.Text()) }

func (s seal) sign(state string) string {
	mac := hmac.New(sha256.New, s)
	_, _ = mac.Write([]byte(state)) // never fails
	return state + "." + hex.EncodeToString(mac.Sum(nil))
}

func (s seal) open(signed string) (state string, err error) {
	state, _, _ = strings.Cut(signed, ".")
	if !hmac.Equal([]byte(s.sign(state)), []byte(signed)) {
		return "", errors.New("the request state was changed")
	}
	return state, nil
}

func (s seal) confirm(_ context.Context, r round) (*mcp.CallToolResult, error) {
	if r.state == "" {
		return server.NewInputRequestBuilder(s.sign("asked")).
			Elicit("confirm", form("Please confirm", object{"ok": object{"type": "boolean"}}, "ok")).ToolResult(), nil
	}
	if _, err := s.open(r.state); err != nil {
		return nil, err
	}
	return say("state-ok")
}

func (s seal) askAll(_ context.Context, r round) (*mcp.CallToolResult, error) {
	if r.state == "" {
		b := askName(server.NewInputRequestBuilder(s.sign("asked")), "user_name", "What is your name?", "name")
		return b.Sample("greeting", question("Generate a greeting", 50)).Roots("client_roots").ToolResult(), nil
	}
	if _, err := s.open(r.state); err != nil {
		return nil, err
	}
	return say("%d answers", len(r.answers))
}

func (s seal) askTwice(_ context.Context, r round) (*mcp.CallToolResult, error) {
	if r.state == "" {
		return askName(server.NewInputRequestBuilder(s.sign("first")), "step1", "Step 1: What is your name?", "name").ToolResult(), nil
	}
	state, err := s.open(r.state)
	if err != nil {
		return nil, err
	}
	if name := r.text("step1", "name"); state == "first" && name != "" {
		next := s.sign("second " + hex.EncodeToString([]byte(name)))
		return askName(server.NewInputRequestBuilder(next), "step2", "Step 2: What is your favorite color?", "color").ToolResult(), nil
	}
	return say("%s likes %s", state, r.text("step2", "color"))
}

//go:build e2e

package conformance

import (
	"context"
	"encoding/json"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// The least files of their formats: a PNG of one pixel, a WAV without samples.
const (
	png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
	wav = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA="
)

type handler = server.ToolHandlerFunc

// content is the handler that always returns these items.
func content(items ...mcp.Content) handler {
	return func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return &mcp.CallToolResult{Content: items}, nil
	}
}

func embedded(uri, mime, text string) mcp.EmbeddedResource {
	return mcp.NewEmbeddedResource(mcp.TextResourceContents{URI: uri, MIMEType: mime, Text: text})
}

// pause is how long the suite wants a tool to wait between two messages.
const pause = 50 * time.Millisecond

// addTools adds the tools that the suite calls, as its scenarios describe them.
func addTools(s *server.MCPServer) {
	add := func(name string, h handler, options ...mcp.ToolOption) {
		s.AddTool(mcp.NewTool(name, append(options, mcp.WithDescription("What the conformance suite calls as "+name))...), h)
	}
	add("test_simple_text", content(mcp.NewTextContent("This is a simple text response for testing.")))
	add("test_image_content", content(mcp.NewImageContent(png, "image/png")))
	add("test_audio_content", content(mcp.NewAudioContent(wav, "audio/wav")))
	add("test_embedded_resource", content(embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")))
	add("test_multiple_content_types", content(
		mcp.NewTextContent("Multiple content types test:"),
		mcp.NewImageContent(png, "image/png"),
		embedded("test://mixed-content-resource", "application/json", `{"test":"data","value":123}`)))
	add("test_error_handling", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultError("This tool intentionally returns an error for testing"), nil
	})
	add("test_tool_with_logging", logThrice)
	add("test_logging_tool", logThrice)
	add("test_tool_with_progress", progressThrice)
	s.AddTool(mcp.NewToolWithRawSchema("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", json.RawMessage(schema2020)),
		content(mcp.NewTextContent("valid")))
	s.AddTool(mcp.NewToolWithRawSchema("test_custom_header", "Tool with an argument that is sent as a header too",
		json.RawMessage(`{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}},"required":["region"]}`)),
		content(mcp.NewTextContent("agreed")))
}

const schema2020 = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object",
	"$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
	"properties": {
		"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"},
		"contactMethod": {"type": "string", "enum": ["phone", "email"]}, "phone": {"type": "string"}, "email": {"type": "string"}
	},
	"allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
	"if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
	"then": {"required": ["phone"]}, "else": {"required": ["email"]},
	"additionalProperties": false
}`

type object = map[string]any

func logThrice(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	for i, text := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
		if i > 0 {
			time.Sleep(pause)
		}
		message := mcp.NewLoggingMessageNotification(mcp.LoggingLevelInfo, "fixture", text)
		if err := server.ServerFromContext(ctx).SendLogMessageToClient(ctx, message); err != nil {
			return nil, err
		}
	}
	return mcp.NewToolResultText("logged three times"), nil
}

// progressThrice sends its last report right before it returns.
func progressThrice(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	for i := range 3 {
		if i > 0 {
			time.Sleep(pause)
		}
		if r.Params.Meta == nil || r.Params.Meta.ProgressToken == nil {
			continue
		}
		err := server.ServerFromContext(ctx).SendNotificationToClient(ctx, string(mcp.MethodNotificationProgress),
			object{"progressToken": r.Params.Meta.ProgressToken, "progress": 50 * i, "total": 100})
		if err != nil {
			return nil, err
		}
	}
	return mcp.NewToolResultText("reported three times"), nil
}

// question is what a model is asked.
func question(text string, maxTokens int) mcp.CreateMessageParams {
	return mcp.CreateMessageParams{
		Messages:  []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent(text)}},
		MaxTokens: maxTokens,
	}
}

func form(message string, properties object, required ...string) mcp.ElicitationParams {
	schema := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	return mcp.ElicitationParams{Message: message, RequestedSchema: schema}
}

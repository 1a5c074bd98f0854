//go:build e2e

package conformance

import (
	"context"
	"fmt"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

func promptOf(contents ...mcp.Content) *mcp.GetPromptResult {
	result := &mcp.GetPromptResult{}
	for _, c := range contents {
		result.Messages = append(result.Messages, mcp.NewPromptMessage(mcp.RoleUser, c))
	}
	return result
}

// addPrompts adds the prompts that the suite gets.
func addPrompts(s *server.MCPServer) {
	add := func(name string, get func(arguments map[string]string) *mcp.GetPromptResult, options ...mcp.PromptOption) {
		s.AddPrompt(mcp.NewPrompt(name, append(options, mcp.WithPromptDescription("What the conformance suite gets as "+name))...),
			func(_ context.Context, r mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
				return get(r.Params.Arguments), nil
			})
	}
	add("test_simple_prompt", func(map[string]string) *mcp.GetPromptResult {
		return promptOf(mcp.NewTextContent("This is a simple prompt for testing."))
	})
	add("test_prompt_with_arguments", func(a map[string]string) *mcp.GetPromptResult {
		return promptOf(mcp.NewTextContent(fmt.Sprintf("Prompt with arguments: arg1='%s', arg2='%s'", a["arg1"], a["arg2"])))
	}, mcp.WithArgument("arg1", mcp.RequiredArgument()), mcp.WithArgument("arg2", mcp.RequiredArgument()))
	add("test_prompt_with_embedded_resource", func(a map[string]string) *mcp.GetPromptResult {
		return promptOf(embedded(a["resourceUri"], "text/plain", "Embedded resource content for testing."),
			mcp.NewTextContent("Please process the embedded resource above."))
	}, mcp.WithArgument("resourceUri", mcp.RequiredArgument()))
	add("test_prompt_with_image", func(map[string]string) *mcp.GetPromptResult {
		return promptOf(mcp.NewImageContent(png, "image/png"), mcp.NewTextContent("Please analyze the image above."))
	})
}

// addResources adds the resources that the suite reads and subscribes to.
func addResources(s *server.MCPServer) {
	add := func(uri, mime string, contents mcp.ResourceContents) {
		s.AddResource(mcp.NewResource(uri, strings.TrimPrefix(uri, "test://"), mcp.WithResourceDescription("What the conformance suite reads"), mcp.WithMIMEType(mime)),
			func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
				return []mcp.ResourceContents{contents}, nil
			})
	}
	add("test://static-text", "text/plain", mcp.TextResourceContents{
		URI: "test://static-text", MIMEType: "text/plain", Text: "This is the content of the static text resource.",
	})
	add("test://static-binary", "image/png", mcp.BlobResourceContents{
		URI: "test://static-binary", MIMEType: "image/png", Blob: png,
	})
	add("test://watched-resource", "text/plain", mcp.TextResourceContents{
		URI: "test://watched-resource", MIMEType: "text/plain", Text: "It never changes.",
	})
	s.AddResourceTemplate(
		mcp.NewResourceTemplate("test://template/{id}/data", "template", mcp.WithTemplateDescription("What the conformance suite reads"), mcp.WithTemplateMIMEType("application/json")),
		func(_ context.Context, r mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			id, _ := r.Params.Arguments["id"].([]string)
			name := strings.Join(id, "")
			return []mcp.ResourceContents{mcp.TextResourceContents{
				URI: r.Params.URI, MIMEType: "application/json",
				Text: fmt.Sprintf(`{"id":%q,"templateTest":true,"data":%q}`, name, "Data for ID: "+name),
			}}, nil
		})
}

//go:build e2e

package conformance

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/mark3labs/mcp-go/server"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/mcpserve"
	"nsenter-mcp/tools"
)

// startServer serves the product's stack with the fixture and returns the URL of
// its endpoint.
func startServer(t *testing.T) (url string) {
	t.Helper()
	d, err := dispatch.NewDispatcher(dispatch.Config{Tools: tools.All(), Policy: dispatch.DefaultPolicy()})
	if err != nil {
		t.Fatal(err)
	}
	s := mcpserve.New(mcpserve.Config{
		Dispatcher: d, Version: "test", Logger: slog.New(slog.DiscardHandler),
		Options: []server.ServerOption{
			server.WithLogging(), server.WithCompletions(),
			server.WithResourceCapabilities(true, false), server.WithPromptCapabilities(false),
			addTools, addInputTools, addPrompts, addResources,
		},
	})
	const secret = "conformance-conformance-conformance"
	token, err := mcpserve.NewToken("suite", secret)
	if err != nil {
		t.Fatal(err)
	}
	stack := mcpserve.NewHTTP(s, mcpserve.HTTPConfig{Tokens: []mcpserve.Token{token}})
	// The suite cannot be told a token.
	l := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+secret)
		stack.ServeHTTP(w, r)
	}))
	t.Cleanup(l.Close)
	return l.URL + mcpserve.Endpoint
}

// Libraries is the bare server once more, with the libraries linked by which ours
// asks Docker, a runtime's CRI and the Kubernetes API, and nothing of ours: what a
// Go program initialises before main, and so pays for at each start.
package main

import (
	"context"
	"os"

	"github.com/docker/docker/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"google.golang.org/grpc"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// linked keeps the linker from leaving them out.
var linked = []any{client.NewClientWithOpts, grpc.NewClient, rest.RESTClientFor, clientcmd.NewNonInteractiveDeferredLoadingClientConfig, runtime.NewRuntimeServiceClient}

func main() {
	s := server.NewMCPServer("bare", "1", server.WithToolCapabilities(len(linked) == 0))
	s.AddTool(mcp.NewTool("nothing"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("nothing"), nil
	})
	if err := server.ServeStdio(s); err != nil {
		os.Exit(1)
	}
}

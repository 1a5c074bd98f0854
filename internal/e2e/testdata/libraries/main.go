// Libraries is the bare server once more, with the libraries linked that ours links,
// and nothing of ours: what a Go program initialises before main, and so pays for at
// each start.
package main

import (
	"context"
	"os"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	securejoin "github.com/cyphar/filepath-securejoin"
	"github.com/docker/docker/client"
	mcpclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"github.com/mattn/go-shellwords"
	"github.com/miekg/dns"
	"github.com/moby/sys/mountinfo"
	"github.com/spf13/cobra"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/x509roots/fallback/bundle"
	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/proxy"
	"google.golang.org/grpc"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// linked keeps the linker from leaving them out.
var linked = []any{
	client.NewClientWithOpts, grpc.NewClient, rest.RESTClientFor, clientcmd.NewNonInteractiveDeferredLoadingClientConfig,
	runtime.NewRuntimeServiceClient, cache.NewLRUExpireCache, netlink.NewHandle, netns.Get, mountinfo.GetMounts, dns.Exchange,
	httpproxy.FromEnvironment, proxy.SOCKS5, bundle.Roots, cobra.MinimumNArgs, yaml.Unmarshal, shellwords.NewParser, mcpclient.NewClient, memlimit.Set, securejoin.SecureJoin,
	btf.LoadKernelSpec, link.Tracepoint, ringbuf.NewReader,
}

func main() {
	s := server.NewMCPServer("bare", "1", server.WithToolCapabilities(len(linked) == 0))
	s.AddTool(mcp.NewTool("nothing"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("nothing"), nil
	})
	if err := server.ServeStdio(s); err != nil {
		os.Exit(1)
	}
}

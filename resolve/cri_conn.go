package resolve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"sync/atomic"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// maxCRIAnswer bounds one answer of a runtime. The kubelet has the same limit,
// so a runtime that works with it stays below.
const maxCRIAnswer = 16 << 20

// criConn is a connection to one runtime.
type criConn struct {
	path string
	cc   *grpc.ClientConn
	api  runtimeapi.RuntimeServiceClient
	// undialed is why the last attempt to connect failed, nil for none.
	undialed atomic.Pointer[error]
}

// newCRIConn prepares a connection, which is made when it is first used.
func newCRIConn(path string) (*criConn, error) {
	c := &criConn{path: path}
	var err error
	c.cc, err = grpc.NewClient("passthrough:///"+criFamily,
		grpc.WithContextDialer(c.dial),
		grpc.WithAuthority("localhost"), // as for every unix socket; servers check its form
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxCRIAnswer)),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.api = runtimeapi.NewRuntimeServiceClient(c.cc)
	return c, nil
}

func (c *criConn) dial(ctx context.Context, _ string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.path)
	if err != nil {
		c.undialed.Store(&err)
		return nil, err
	}
	c.undialed.Store(nil)
	return conn, nil
}

// isBroken reports whether err leaves doubt about the connection itself.
func isBroken(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return true
	}
	return false
}

// isGone reports whether a runtime does not know the ID that it was asked for.
// cri-dockerd passes on what the Docker engine says, without a code.
func isGone(err error) bool {
	said := strings.ToLower(status.Convert(err).Message())
	return status.Code(err) == codes.NotFound ||
		status.Code(err) == codes.Unknown && (strings.Contains(said, "not found") || strings.Contains(said, "no such container"))
}

// explain words what went wrong in one line.
func (s *CRI) explain(ctx context.Context, c *criConn, err error) error {
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	said := status.Convert(err).Message()
	words := "the runtime on " + c.path + " answers with an error (" + status.Code(err).String() + ")"
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Unimplemented:
		return s.noCRI(ctx, c)
	case codes.ResourceExhausted:
		if strings.Contains(said, "larger than max") {
			return fmt.Errorf("the answer is longer than %d MiB", maxCRIAnswer>>20)
		}
	case codes.Unavailable:
		if undialed := c.undialed.Load(); undialed != nil {
			return explainDial(c.path, *undialed)
		}
		if strings.Contains(said, "http2") || strings.Contains(said, "frame") {
			words = "what answers on " + c.path + " is no container runtime: it does not speak gRPC"
		} else {
			words = "the connection to " + c.path + " broke"
		}
	case codes.Internal, codes.Unknown:
		if strings.Contains(said, "HTTP status") || strings.Contains(said, "content-type") {
			words = "what answers on " + c.path + " is no container runtime"
		}
	}
	return &SaidError{Words: words, Text: said}
}

// explainDial says why nobody could be connected to.
func explainDial(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission to use the socket %s%s", path, whoMayUse(path))
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens on the socket %s: the runtime does not run", path)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the socket %s is gone: the runtime does not run", path)
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("the path of the socket %s is longer than one may be (107 bytes)", path)
	}
	return fmt.Errorf("connect to %s: %w", path, err)
}

// noCRI explains a gRPC server that does not know the service. Where a Docker
// engine is installed its containerd has CRI switched off, so that at a usual
// place this is no failure.
func (s *CRI) noCRI(ctx context.Context, c *criConn) error {
	// The two versions have the same messages.
	err := c.cc.Invoke(ctx, "/runtime.v1alpha2.RuntimeService/Version", &runtimeapi.VersionRequest{}, &runtimeapi.VersionResponse{})
	switch {
	case err == nil:
		return fmt.Errorf("the runtime on %s speaks only version v1alpha2 of CRI; v1 is needed: containerd 1.6, CRI-O 1.20, or newer", c.path)
	case ctx.Err() != nil:
		return ctx.Err()
	case s.named:
		return fmt.Errorf("the server on %s does not serve CRI; in containerd the plugin cri may be switched off (disabled_plugins in config.toml)", c.path)
	}
	return fmt.Errorf("%s does not serve CRI (the plugin may be switched off): %w", c.path, ErrAbsent)
}

package mcpserve

import (
	"context"
	"time"
)

// origin is what a transport knows of a request and mcp-go has no place for.
// It travels in the request's context.
type origin struct {
	caller   string    // who asks, for policy and audit
	received time.Time // when the request arrived; its deadline counts from here
}

type originKey struct{}

func withOrigin(ctx context.Context, o origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

func callerFrom(ctx context.Context) string {
	o, _ := ctx.Value(originKey{}).(origin)
	return o.caller
}

// receivedFrom is zero for a request that did not wait anywhere.
func receivedFrom(ctx context.Context) time.Time {
	o, _ := ctx.Value(originKey{}).(origin)
	return o.received
}

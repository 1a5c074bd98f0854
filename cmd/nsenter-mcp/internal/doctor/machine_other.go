//go:build !linux

package doctor

import (
	"context"
	"runtime"
)

// machine says what any call will say here.
func (Config) machine(_ context.Context, r *Report) (missing []string, supported bool) {
	r.add(Check{
		ID: "platform", Status: Fail, Detail: runtime.GOOS + " has no network namespaces",
		Cost: "every call fails with unsupported_platform; the list of tools is the same",
		Fix:  "run the program on the Linux node, for example through ssh",
	})
	return nil, false
}

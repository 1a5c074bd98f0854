//go:build e2e

package eval

import (
	"testing"

	"nsenter-mcp/internal/lab"
)

func TestMain(m *testing.M) { lab.TestMain(m) }

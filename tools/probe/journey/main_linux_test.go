package journey

import (
	"testing"

	"nsenter-mcp/internal/lab"
)

func TestMain(m *testing.M) { lab.TestMain(m) }

package nsexec_test

import (
	"fmt"
	"io"
	"os"
	"testing"

	"nsenter-mcp/internal/lab"
)

// roleVar makes the test binary play the part of another process.
const roleVar = "NSEXEC_TEST_ROLE"

const (
	roleWait   = "wait"   // live until standard input ends
	roleRooted = "rooted" // the same, in a root directory of its own
	roleFUSE   = "fuse"   // serve a file system that hangs

	roleHolding = "holding" // hold the lock of the own memory
	roleFaulty  = "faulty"  // go on where a system call fails
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case roleWait:
		waitForEnd()
	case roleRooted:
		if err := enterRoot(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println("ready")
		waitForEnd()
	case roleFaulty:
		fmt.Fprintln(os.Stderr, workWithFault())
		os.Exit(1)
	case roleHolding:
		fmt.Fprintln(os.Stderr, holdOwnMemory(os.Getenv("FILE")))
		os.Exit(1)
	case roleFUSE:
		fmt.Println(serveFUSE())
		os.Exit(1)
	default:
		lab.TestMain(m)
	}
}

// waitForEnd lives as long as the test that started it, which holds the other
// end of standard input.
func waitForEnd() {
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

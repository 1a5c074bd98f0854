//go:build e2e

package kube

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// state is the bed's state directory, as its scripts see it.
func state() string { return os.Getenv("BED_STATE") }

func TestMain(m *testing.M) {
	if err := onBed(); err != nil {
		fmt.Fprintf(os.Stderr, "kube: %v; run make e2e-kube, or make bed-up bed-test\n", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// onBed fails unless the process is on the bed's node: anywhere else these
// tests would break a real one.
func onBed() error {
	if state() == "" {
		return fmt.Errorf("no bed is named by BED_STATE")
	}
	for _, kind := range []string{"net", "mnt"} {
		here, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			return fmt.Errorf("own namespace: %w", err)
		}
		if !slices.Contains(strings.Fields(os.Getenv("BED_NODE")), here) {
			return fmt.Errorf("this process is not in the %s namespace of the bed's node", kind)
		}
	}
	if _, err := os.Stat(program()); err != nil {
		return err
	}
	return nil
}

// program is the executable under test.
func program() string {
	if path := os.Getenv("NSENTER_MCP"); path != "" {
		return path
	}
	path, err := filepath.Abs("../../../bin/nsenter-mcp")
	if err != nil {
		panic(err)
	}
	return path
}

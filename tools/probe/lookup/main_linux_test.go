package lookup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(filesVar); dir != "" {
		fmt.Fprintln(os.Stderr, lookUpAsChild(dir, os.Args[1:]))
		os.Exit(1)
	}
	lab.TestMain(m)
}

// filesVar makes this program a child that sees the /etc of a directory in place
// of the machine's, and becomes the program in its arguments. "go" as the
// program stands for Go's own resolver.
const filesVar = "LOOKUP_TEST_FILES"

// lookUpAsChild returns on an error only. The mount namespace is the child's
// own already.
func lookUpAsChild(dir string, args []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// The whole of /etc: a bare machine may lack any of the files.
	if err := unix.Mount(filepath.Join(dir, "etc"), "/etc", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount over /etc: %w", err)
	}
	if args[0] == "go" {
		printGoLookup(args[1:])
		os.Exit(0)
	}
	return unix.Exec(args[0], args, []string{"PATH=/usr/bin:/bin"})
}

// printGoLookup prints what testdata/getaddrinfo.c prints.
func printGoLookup(args []string) {
	network := "ip"
	if len(args) > 1 {
		network += args[1]
	}
	start := time.Now()
	list, err := (&net.Resolver{PreferGo: true}).LookupNetIP(context.Background(), network, args[0])
	result := "OK"
	var failure *net.DNSError
	var unsuitable *net.AddrError
	switch {
	case errors.As(err, &unsuitable):
		result = eaiNoData
	case errors.As(err, &failure) && failure.IsNotFound:
		result = "EAI_NONAME"
	case err != nil:
		result = "EAI_AGAIN"
	}
	fmt.Println(result, time.Since(start).Milliseconds())
	for _, ip := range list {
		fmt.Println(ip.Unmap())
	}
}

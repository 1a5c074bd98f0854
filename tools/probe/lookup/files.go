package lookup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"time"

	"nsenter-mcp/nsexec"
)

// Files reads the target's files.
type Files interface {
	// ReadFile reads at most limit bytes; see [nsexec.Files.ReadFile].
	ReadFile(ctx context.Context, name string, limit int64) (nsexec.File, error)
}

// The files that decide how names are looked up.
const (
	resolvConfPath = "/etc/resolv.conf"
	hostsPath      = "/etc/hosts"
	nsswitchPath   = "/etc/nsswitch.conf"
	hostConfPath   = "/etc/host.conf"
	hostnamePath   = "/etc/hostname"
)

// The most that is read of each. Applications read all; lists that block
// advertisements have some megabytes.
const (
	maxResolvConf = 1 << 20
	maxHosts      = 16 << 20
	maxNsswitch   = 64 << 10
	maxSmallFile  = 4 << 10
)

// fileTime is how long one file is waited for: a file system that hangs must
// not use up the time for asking.
const fileTime = time.Second

// reading is the result of reading the target's files.
type reading struct {
	Sources
	// known: resolv.conf was read, or is known not to exist.
	known bool
	// trouble says why a file could not be used, in words.
	trouble []string
}

// readSources reads the files. whole says that a file which is not found does
// not exist for the application either. It fails for lack of privilege only.
func readSources(ctx context.Context, files Files, whole bool) (*reading, error) {
	r := &reading{}
	if files == nil {
		return r, nil
	}
	for _, f := range [...]struct {
		path  string
		limit int64
		into  *[]byte
	}{
		{resolvConfPath, maxResolvConf, &r.ResolvConf},
		{hostsPath, maxHosts, &r.Hosts},
		{nsswitchPath, maxNsswitch, &r.Nsswitch},
		{hostConfPath, maxSmallFile, &r.HostConf},
	} {
		found, err := r.read(ctx, files, f.path, f.limit, f.into)
		if err != nil {
			return nil, err
		}
		if f.path == resolvConfPath {
			r.known = found || whole && len(r.trouble) == 0
		}
	}
	var hostname []byte
	if _, err := r.read(ctx, files, hostnamePath, maxSmallFile, &hostname); err != nil {
		return nil, err
	}
	r.Hostname = strings.TrimSpace(string(hostname))
	return r, nil
}

// read reads one file into *into, which is nil where there is none.
func (r *reading) read(ctx context.Context, files Files, path string, limit int64, into *[]byte) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, fileTime)
	defer cancel()
	file, err := readPatiently(ctx, files, path, limit)
	var permission *nsexec.PermissionError
	switch {
	case err == nil:
		*into = file.Data
		if *into == nil {
			*into = []byte{}
		}
		if file.Truncated {
			r.trouble = append(r.trouble, fmt.Sprintf("%s is longer than the %d bytes that were read", path, limit))
		}
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.As(err, &permission):
		return false, fmt.Errorf("read the target's files: %w", err)
	case errors.Is(err, nsexec.ErrNotRegular):
		r.trouble = append(r.trouble, path+" is no regular file and was not read")
	case errors.Is(err, context.DeadlineExceeded):
		r.trouble = append(r.trouble, path+" could not be read in time: its file system hangs")
	default:
		r.trouble = append(r.trouble, path+" could not be read")
	}
	return false, nil
}

// readPatiently reads a file as soon as the process may have another read under
// way: of a thousand lookups that begin at once most find all places taken.
func readPatiently(ctx context.Context, files Files, path string, limit int64) (nsexec.File, error) {
	for {
		file, err := files.ReadFile(ctx, path, limit)
		if !errors.Is(err, nsexec.ErrReadersBusy) {
			return file, err
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return file, err
		}
	}
}

// loaders are the dynamic loaders by which a C library can be told, on the
// architectures that Kubernetes runs on. A container has the architecture of its
// node.
func loaders() (glibc, musl []string) {
	switch runtime.GOARCH {
	case "amd64":
		return []string{"/lib64/ld-linux-x86-64.so.2"}, []string{"/lib/ld-musl-x86_64.so.1"}
	case "arm64":
		return []string{"/lib/ld-linux-aarch64.so.1"}, []string{"/lib/ld-musl-aarch64.so.1"}
	case "arm":
		return []string{"/lib/ld-linux-armhf.so.3"}, []string{"/lib/ld-musl-armhf.so.1"}
	case "ppc64le":
		return []string{"/lib64/ld64.so.2"}, []string{"/lib/ld-musl-powerpc64le.so.1"}
	case "s390x":
		return []string{"/lib/ld64.so.1"}, []string{"/lib/ld-musl-s390x.so.1"}
	}
	return nil, nil
}

// detectLibrary tells the C library by its loader. Without one, or with both,
// glibc is assumed: its way of asking is the reference. (A static Go program
// leaves no trace.)
func detectLibrary(ctx context.Context, files Files) (flavour Flavour, detected bool) {
	if files == nil {
		return Glibc, false
	}
	glibc, musl := loaders()
	hasGlibc, hasMusl := anyExists(ctx, files, glibc), anyExists(ctx, files, musl)
	switch {
	case hasMusl && !hasGlibc:
		return Musl, true
	case hasGlibc && !hasMusl:
		return Glibc, true
	}
	return Glibc, false
}

func anyExists(ctx context.Context, files Files, paths []string) bool {
	ctx, cancel := context.WithTimeout(ctx, fileTime)
	defer cancel()
	for _, path := range paths {
		if _, err := readPatiently(ctx, files, path, 0); err == nil {
			return true
		}
	}
	return false
}

// ParseEnvironment finds the variables that steer glibc's resolver in the text
// of /proc/PID/environ. Nothing else of it is kept.
func ParseEnvironment(environ []byte) (localDomain, resOptions *string) {
	for entry := range strings.SplitSeq(string(environ), "\x00") {
		if value, ok := strings.CutPrefix(entry, "LOCALDOMAIN="); ok && localDomain == nil {
			localDomain = &value
		}
		if value, ok := strings.CutPrefix(entry, "RES_OPTIONS="); ok && resOptions == nil {
			resOptions = &value
		}
	}
	return localDomain, resOptions
}

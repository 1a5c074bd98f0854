package lookup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
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
	gaiConfPath    = "/etc/gai.conf"
)

// The most that is read of each. Applications read all; lists that block
// advertisements have some megabytes.
const (
	maxResolvConf = 1 << 20
	maxHosts      = 16 << 20
	maxNsswitch   = 64 << 10
	maxSmallFile  = 16 << 10
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
	libc    libc
}

// readSources reads the files. whole says that a file which is not found does
// not exist for the application either. It fails for lack of privilege only.
func readSources(ctx context.Context, files Files, whole bool) (*reading, error) {
	r := &reading{libc: libc{flavour: Glibc}}
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
		{gaiConfPath, maxSmallFile, &r.GaiConf},
	} {
		found, err := r.read(ctx, files, f.path, f.limit, f.into)
		if err != nil {
			return nil, err
		}
		if f.path == resolvConfPath {
			r.known = found || whole && len(r.trouble) == 0
		}
	}
	r.libc = detectLibrary(ctx, files)
	if r.libc.flavour == Glibc && r.libc.detected {
		r.readGlibc(ctx, files)
	}
	return r, nil
}

// readGlibc looks at the libraries beside glibc, as far as resolv.conf and
// nsswitch.conf make them matter.
func (r *reading) readGlibc(ctx context.Context, files Files) {
	if regexp.MustCompile(newOption).Match(r.ResolvConf) {
		r.GlibcMinor = glibcMinor(readAny(ctx, files, inLibraryDirs("libc.so.6")))
	}
	for _, s := range glibcOrder(r.Nsswitch).services {
		if s.name == "files" || s.name == "dns" || strings.Contains(s.name, "/") {
			continue // since 2.34 a part of libc.so.6
		}
		there := func(path string) bool { return exists(ctx, files, path) }
		if !slices.ContainsFunc(inLibraryDirs("libnss_"+s.name+".so.2"), there) {
			r.Missing = append(r.Missing, s.name)
		}
	}
}

// read reads one file into *into, which is nil where there is none.
func (r *reading) read(ctx context.Context, files Files, path string, limit int64, into *[]byte) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, fileTime)
	defer cancel()
	file, err := files.ReadFile(ctx, path, limit)
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
	case errors.Is(err, nsexec.ErrReadersBusy):
		r.trouble = append(r.trouble, path+" was not read: too many reads of files hang")
	case errors.Is(err, context.DeadlineExceeded):
		r.trouble = append(r.trouble, path+" could not be read in time: its file system hangs")
	default:
		r.trouble = append(r.trouble, path+" could not be read")
	}
	return false, nil
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

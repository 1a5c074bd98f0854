package gather

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/fetch"
	"nsenter-mcp/tools/probe/lookup"
)

// environTime bounds the wait for the environment, which the application can hold up;
// without it a call has its answer all the same.
const environTime = 2 * time.Second

// maxEnviron bounds what is read of an environment, in bytes.
const maxEnviron = 1 << 20

// applicationEnviron is the environment of the target's application; nil where
// there is none or it cannot be read. cut: it goes on after what was read.
func applicationEnviron(ctx context.Context, target *resolve.Target) (environ []byte, cut bool) {
	if target.App == nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, environTime)
	defer cancel()
	environ, err := target.App.ReadFile(ctx, "environ", maxEnviron)
	if err != nil {
		return nil, false // some containers hide it even from root
	}
	if cut = len(environ) >= maxEnviron && environ[len(environ)-1] != 0; cut {
		environ = environ[:bytes.LastIndexByte(environ, 0)+1] // half a variable is none
	}
	return environ, cut
}

// fileReader reads files of the target's application.
func fileReader(target *resolve.Target) fetch.ReadFunc {
	return func(ctx context.Context, name string, limit int64) ([]byte, error) {
		return wholeFile(target.ReadFile(ctx, name, limit))
	}
}

// hostFileReader reads files of the host below its root, until done is called.
// It is nil where that is this process's own.
func hostFileReader(home *nsexec.Home, root string) (read fetch.ReadFunc, done func()) {
	if filepath.Clean("/"+root) == "/" {
		return nil, func() {}
	}
	files, err := home.OpenFiles(root)
	if err != nil {
		return func(context.Context, string, int64) ([]byte, error) { return nil, err }, func() {}
	}
	read = func(ctx context.Context, name string, limit int64) ([]byte, error) {
		return wholeFile(files.ReadFile(ctx, name, limit))
	}
	return read, func() { _ = files.Close() } // was only read from
}

// wholeFile takes no part of a file for the file.
func wholeFile(file nsexec.File, err error) ([]byte, error) {
	if err == nil && file.Truncated {
		return nil, fmt.Errorf("longer than %d bytes: %w", len(file.Data), fs.ErrInvalid)
	}
	return file.Data, err
}

// LookupTarget is whose lookups are played: the target's network, files, host name and
// environment. allow is asked for each server.
func LookupTarget(ctx context.Context, target *resolve.Target, allow func(netip.AddrPort) error) lookup.Target {
	environ, cut := applicationEnviron(ctx, target)
	whose := lookupTarget(target, environ, allow)
	whose.EnvironCut = cut
	return whose
}

func lookupTarget(target *resolve.Target, environ []byte, allow func(netip.AddrPort) error) lookup.Target {
	whose := lookup.Target{
		Network:   lookup.Network{Handle: target.Net, Allow: allow},
		WholeRoot: target.Files != nil,
		From:      target.FilesFrom,
	}
	if target.FilesFrom != "" {
		whose.Files = target
	}
	whose.LocalDomain, whose.ResOptions = lookup.ParseEnvironment(environ)
	if target.App != nil {
		whose.Hostname = target.App.Hostname
	}
	return whose
}

// nameLookup looks names up as the target's applications do. Each lookup is given
// to tell too.
func nameLookup(target *resolve.Target, environ []byte, allow func(netip.AddrPort) error, tell func(*fact.DNSLookup)) fetch.Lookup {
	whose := lookupTarget(target, environ, allow)
	return func(ctx context.Context, name string) ([]netip.Addr, fact.Resolution, error) {
		found, err := lookup.Run(ctx, whose, lookup.Request{Name: name, Hurry: true})
		if err != nil {
			return nil, fact.Resolution{}, err
		}
		tell(found)
		how := fact.Resolution{
			Name: name, Outcome: found.Outcome, Addresses: found.Addresses, Source: found.Source, AppWaitMS: found.AppWaitMS,
		}
		if found.HalfDenied() {
			how.Outcome = "half_denied"
		}
		if found.Server != "" { // without an answer, Source is empty
			how.Source = strings.TrimSpace(how.Source + " " + found.Server)
		}
		if found.SearchDomain != "" {
			how.FoundAs = found.Name
		}
		var addrs []netip.Addr
		for _, text := range found.Addresses {
			if ip, err := netip.ParseAddr(text); err == nil {
				addrs = append(addrs, ip)
			}
		}
		return addrs, how, nil
	}
}

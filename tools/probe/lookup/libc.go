package lookup

import (
	"context"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// libc is the C library of a root directory.
type libc struct {
	flavour Flavour
	// detected: its loader is there, and no other; else glibc is assumed, whose way of
	// asking is the reference. (A static Go program leaves no trace.)
	detected bool
	// version is musl's; "" is unknown.
	version string
}

// architecture is where libraries are. A container has the architecture of its node.
type architecture struct{ glibcLoader, muslLoader, directory string }

// architectures are those that Kubernetes runs on; directory is Debian's.
var architectures = map[string]architecture{
	"amd64":   {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1", "x86_64-linux-gnu"},
	"arm64":   {"/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1", "aarch64-linux-gnu"},
	"arm":     {"/lib/ld-linux-armhf.so.3", "/lib/ld-musl-armhf.so.1", "arm-linux-gnueabihf"},
	"ppc64le": {"/lib64/ld64.so.2", "/lib/ld-musl-powerpc64le.so.1", "powerpc64le-linux-gnu"},
	"s390x":   {"/lib/ld64.so.1", "/lib/ld-musl-s390x.so.1", "s390x-linux-gnu"},
}

// inLibraryDirs are the paths that a library of glibc can have.
func inLibraryDirs(name string) []string {
	triplet := architectures[runtime.GOARCH].directory
	var paths []string
	for _, dir := range [...]string{"/lib/" + triplet, "/usr/lib/" + triplet, "/lib64", "/usr/lib64", "/lib", "/usr/lib"} {
		paths = append(paths, dir+"/"+name)
	}
	return paths
}

// maxLibrary bounds what is read of a library; glibc has 2 MB.
const maxLibrary = 4 << 20

// detectLibrary tells the C library by its loader, and musl's version by what the
// loader holds.
func detectLibrary(ctx context.Context, files Files) libc {
	assumed := libc{flavour: Glibc}
	paths, known := architectures[runtime.GOARCH]
	if files == nil || !known {
		return assumed
	}
	musl := readAny(ctx, files, []string{paths.muslLoader})
	glibc := exists(ctx, files, paths.glibcLoader)
	switch {
	case musl != nil && !glibc:
		found := libc{flavour: Musl, detected: true, version: muslVersion(musl)}
		if found.version != "" && isOldMusl(found.version) {
			found.flavour = OldMusl
		}
		return found
	case glibc && musl == nil:
		return libc{flavour: Glibc, detected: true}
	}
	return assumed
}

// muslVersion finds the version (ldso/dlstart.c prints it) in the text of musl's
// loader, which is all of musl; "" where there is not one alone.
func muslVersion(loader []byte) string {
	found := regexp.MustCompile(`\x00(1\.[0-9]{1,3}\.[0-9]{1,3})(-git-[^\x00]{1,64})?\x00`).FindAllSubmatch(loader, 2)
	if len(found) != 1 {
		return ""
	}
	return string(found[0][1])
}

// isOldMusl compares with 1.2.4.
func isOldMusl(version string) bool {
	part := func(i int) int {
		n, _ := strconv.Atoi(strings.Split(version, ".")[i])
		return n
	}
	return part(1) < 2 || part(1) == 2 && part(2) < 4
}

// newOption finds options that only newer versions of glibc know.
const newOption = `trust-ad|no-aaaa|strict-error|[ \t]-`

// glibcMinor finds the version in libc.so.6, which prints it when it is run
// (csu/version.c); 0 where it is not there.
func glibcMinor(library []byte) int {
	found := regexp.MustCompile(`GNU C Library [^\n\x00]{1,100} release version 2\.([0-9]{1,3})`).FindSubmatch(library)
	if found == nil {
		return 0
	}
	minor, _ := strconv.Atoi(string(found[1]))
	return minor
}

// readAny reads the first of several files that is there; nil where none is.
func readAny(ctx context.Context, files Files, paths []string) []byte {
	ctx, cancel := context.WithTimeout(ctx, fileTime)
	defer cancel()
	for _, path := range paths {
		if file, err := files.ReadFile(ctx, path, maxLibrary); err == nil {
			return append([]byte{}, file.Data...)
		}
	}
	return nil
}

func exists(ctx context.Context, files Files, path string) bool {
	ctx, cancel := context.WithTimeout(ctx, fileTime)
	defer cancel()
	_, err := files.ReadFile(ctx, path, 0)
	return err == nil
}

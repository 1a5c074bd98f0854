package resolve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nsenter-mcp/nsexec"
)

// claim is what a source says of a process: its number, and what makes it the
// one that is meant.
type claim struct {
	pid       int
	id        string    // of the container whose process it is
	started   time.Time // of the container; zero if not known
	asOf      int64     // when the source was asked, CLOCK_BOOTTIME ns; 0 if not known
	elsewhere bool      // only a cgroup that names the container is proof
}

var (
	// errForeign: the process belongs to another container.
	errForeign = errors.New("the process belongs to another container now")
	// errReused: the process is not as old as it would have to be.
	errReused = errors.New("the number has been given to another process")
	// errUnproven: nothing shows that it is the container's process.
	errUnproven = errors.New("nothing shows that it is a process of that container")
)

const (
	// clockTick is USER_HZ, the unit in which the kernel tells start times, 100
	// per second wherever Go runs (include/asm-generic/param.h).
	clockTick = int64(time.Second) / 100
	// startSlack is how far a container's start, as its runtime has written it
	// down, may be from the start of its first process: a runtime that is under
	// load takes its time between the two.
	startSlack = time.Minute
)

// openClaimed pins the process of a claim and makes sure that it is the one
// meant. The caller closes it.
func (r *Resolver) openClaimed(ctx context.Context, c claim) (*nsexec.Process, error) {
	p, err := r.cfg.Home.OpenProcess(r.procRoot(), c.pid)
	if err != nil {
		return nil, err
	}
	if err := verify(ctx, p, c, r.around()); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func verify(ctx context.Context, p *nsexec.Process, c claim, around string) error {
	cgroup, err := p.ReadFile(ctx, "cgroup", maxCgroup)
	if err != nil {
		return err
	}
	return judge(string(cgroup), around, p.StartTicks(), bootTime(), time.Now(), c)
}

// maxCgroup bounds what is read of /proc/PID/cgroup.
const maxCgroup = 16 << 10

// judge decides by what the kernel says of a pinned process whether it is the
// one that was claimed. ticks is its start in clock ticks after boot; boot and
// now are the same moment on the boot clock (nanoseconds, 0 if not known) and on
// the wall clock.
func judge(cgroup, around string, ticks uint64, boot int64, now time.Time, c claim) error {
	ref := parseCgroup(cgroup, around)
	nested := c.id != "" && ref.Inner == c.id // as for a runtime in a container of its own
	switch {
	case c.id != "" && (ref.ContainerID == c.id || cgroupNamed(cgroup, around, c.id)):
		return nil
	case ref.ContainerID != "" && c.id != "" && !nested:
		return fmt.Errorf("pid %d: %w (%s)", c.pid, errForeign, shortID(ref.ContainerID))
	case c.elsewhere && nested:
		return nil
	case c.elsewhere:
		return fmt.Errorf("pid %d: %w", c.pid, errUnproven)
	}
	// What follows is for runtimes that give their containers no cgroup
	// (rootless ones), and for a server that cannot see cgroups.
	started := int64(ticks) * clockTick //nolint:gosec // nanoseconds since boot: enough for 292 years
	if c.asOf != 0 && started/clockTick > c.asOf/clockTick {
		return fmt.Errorf("pid %d: %w since", c.pid, errReused)
	}
	if c.started.IsZero() || boot == 0 {
		return nil
	}
	if off := now.Add(time.Duration(started - boot)).Sub(c.started); off.Abs() > startSlack {
		return fmt.Errorf("pid %d: %w: it started %s %s than the container", c.pid, errReused,
			off.Abs().Round(time.Second), earlierOrLater(off))
	}
	return nil
}

// cgroupNamed reports whether a cgroup is called by an ID that a person has chosen
// (ctr): a whole part of the path, and not within a container.
func cgroupNamed(cgroup, around, id string) bool {
	if len(id) >= idLength {
		return false
	}
	for line := range strings.Lines(cgroup) {
		path := strings.ReplaceAll(strings.TrimSuffix(line, "\n"), ":", "/") + "/"
		i := strings.Index(path, "/"+id+"/")
		if i < 0 {
			continue
		}
		if in := parseCgroupPath(path[:i], around).ContainerID; in == "" || strings.Contains(around, in) {
			return true
		}
	}
	return false
}

func earlierOrLater(off time.Duration) string {
	if off < 0 {
		return "earlier"
	}
	return "later"
}

// shortID is how runtimes show an ID to people.
func shortID(id string) string { return id[:min(len(id), 12)] }

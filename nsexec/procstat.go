package nsexec

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// ProcStat is what nsexec reads of /proc/PID/stat (proc_pid_stat(5)).
type ProcStat struct {
	PID        int
	Comm       string // name of the executable, at most 15 bytes, chosen by the process
	State      byte   // 'R', 'S', 'Z', ...
	PPID       int
	StartTicks uint64 // clock ticks after boot; with PID it names a process
	// KernelThread is flag PF_KTHREAD of include/linux/sched.h.
	KernelThread bool
	// exiting: on the way to a zombie, and has given back some of what it had.
	exiting bool
}

// Flags of include/linux/sched.h.
const (
	pfExiting = 0x00000004
	pfKthread = 0x00200000
)

// parseProcStat reads the one line of /proc/PID/stat. The name is free text of
// the process and may hold spaces and parentheses, so fields are counted from
// the last ')'.
func parseProcStat(line []byte) (ProcStat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return ProcStat{}, fmt.Errorf("stat line without a name in parentheses")
	}
	var s ProcStat
	var err error
	if s.PID, err = strconv.Atoi(strings.TrimSpace(string(line[:open]))); err != nil {
		return ProcStat{}, fmt.Errorf("stat field 1: %w", err)
	}
	s.Comm = string(line[open+1 : end])
	// rest[0] is field 3, the state; what follows the last one that counts stays
	// together.
	const first, last = 3, 22
	rest := strings.SplitN(strings.TrimSpace(string(line[end+1:])), " ", last-first+2)
	if len(rest) <= last-first {
		return ProcStat{}, fmt.Errorf("stat line ends before field %d", last)
	}
	s.State = rest[0][0]
	if s.PPID, err = strconv.Atoi(rest[4-first]); err != nil {
		return ProcStat{}, fmt.Errorf("stat field 4: %w", err)
	}
	flags, err := strconv.ParseUint(rest[9-first], 10, 64)
	if err != nil {
		return ProcStat{}, fmt.Errorf("stat field 9: %w", err)
	}
	s.KernelThread, s.exiting = flags&pfKthread != 0, flags&pfExiting != 0
	if s.StartTicks, err = strconv.ParseUint(rest[last-first], 10, 64); err != nil {
		return ProcStat{}, fmt.Errorf("stat field %d: %w", last, err)
	}
	return s, nil
}

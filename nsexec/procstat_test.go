package nsexec

import (
	"os"
	"strings"
	"testing"
)

const statTail = " 1 2 3 4 -1 4194560 7 8 9 10 11 12 13 14 20 0 1 0 987654 16 17 18446744073709551615"

func TestParseProcStat(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, line string
		want       ProcStat
	}{
		{"plain", "42 (sh) S" + statTail + "\n", ProcStat{PID: 42, Comm: "sh", State: 'S', PPID: 1, StartTicks: 987654}},
		{"spaces", "42 (tmux: server) R" + statTail, ProcStat{PID: 42, Comm: "tmux: server", State: 'R', PPID: 1, StartTicks: 987654}},
		{"forged", "42 (x) Z 1 2 3) S" + statTail, ProcStat{PID: 42, Comm: "x) Z 1 2 3", State: 'S', PPID: 1, StartTicks: 987654}},
		{"opening", "42 (((() S" + statTail, ProcStat{PID: 42, Comm: "(((", State: 'S', PPID: 1, StartTicks: 987654}},
		{"newline", "42 (a\nb) S" + statTail, ProcStat{PID: 42, Comm: "a\nb", State: 'S', PPID: 1, StartTicks: 987654}},
		{"no name", "42 () S" + statTail, ProcStat{PID: 42, State: 'S', PPID: 1, StartTicks: 987654}},
		{"invalid utf-8", "42 (\xff\xfe) S" + statTail, ProcStat{PID: 42, Comm: "\xff\xfe", State: 'S', PPID: 1, StartTicks: 987654}},
		{
			"kernel thread", "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 30 0 0 18446744073709551615 0 0",
			ProcStat{PID: 2, Comm: "kthreadd", State: 'S', StartTicks: 30, KernelThread: true},
		},
		{"exiting", strings.Replace("42 (sh) R"+statTail, "4194560", "4194564", 1), ProcStat{PID: 42, Comm: "sh", State: 'R', PPID: 1, StartTicks: 987654, exiting: true}},
		{"ends at field 22", "42 (sh) S" + statTail[:strings.Index(statTail, " 16")], ProcStat{PID: 42, Comm: "sh", State: 'S', PPID: 1, StartTicks: 987654}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseProcStat([]byte(test.line))
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v, want %+v", got, err, test.want)
			}
		})
	}
}

func TestParseProcStatRefuses(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"empty":            "",
		"no name":          "42 S 1 2 3",
		"reversed":         "42 )sh( S" + statTail,
		"only opened":      "42 (sh S" + statTail,
		"no pid":           "(sh) S" + statTail,
		"pid no number":    "x (sh) S" + statTail,
		"pid too large":    "99999999999999999999 (sh) S" + statTail,
		"too short":        "42 (sh) S 1 2 3 4 5 6",
		"nothing after":    "42 (sh)",
		"parent no number": "42 (sh) S x" + statTail[2:],
		"flags negative":   "42 (sh) S 1 2 3 4 -1 -5 7 8 9 10 11 12 13 14 20 0 1 0 987654",
		"start no number":  "42 (sh) S 1 2 3 4 -1 5 7 8 9 10 11 12 13 14 20 0 1 0 x",
		"one field short":  "42 (sh) S" + statTail[:strings.Index(statTail, " 987654")],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := parseProcStat([]byte(line)); err == nil || got != (ProcStat{}) {
				t.Errorf("got %+v, %v, want an error and nothing", got, err)
			}
		})
	}
}

func FuzzParseProcStat(f *testing.F) {
	if own, err := os.ReadFile("/proc/self/stat"); err == nil {
		f.Add(string(own))
	}
	f.Add("42 (x) Z 1 2 3) S" + statTail)
	f.Add("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 30")
	f.Fuzz(func(t *testing.T, line string) {
		s, err := parseProcStat([]byte(line))
		if err != nil {
			if s != (ProcStat{}) {
				t.Errorf("an error and %+v", s)
			}
			return
		}
		if s.State == 0 {
			t.Error("no state")
		}
		if !strings.Contains(line, "("+s.Comm+")") {
			t.Errorf("name %q is not in the line", s.Comm)
		}
		if tail := line[strings.LastIndexByte(line, ')')+1:]; strings.ContainsRune(tail, ')') {
			t.Errorf("fields %q come from the name", tail)
		}
	})
}

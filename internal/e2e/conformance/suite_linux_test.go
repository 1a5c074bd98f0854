//go:build e2e

package conformance

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// modules is where .ci/install-inspector puts Node.js and the suites.
const modules = "../../../.ci/node/node_modules"

// TestSessionEra: all that the released suite has, and what its successor
// demands of the last revision with sessions, but for questions to the client.
func TestSessionEra(t *testing.T) {
	t.Parallel()
	url, expected := startServer(t), readExpected(t, "sessions.txt")
	t.Run("0.1.16", func(t *testing.T) {
		t.Parallel()
		runSuite(t, "@modelcontextprotocol/conformance", url, "--suite", "all").report(t, 29, expected)
	})
	t.Run("2025-11-25", func(t *testing.T) {
		t.Parallel()
		runSuite(t, "conformance-2026-07-28", url, "--requirements", "2025-11-25").report(t, 66, expected)
	})
}

// TestStatelessEra: what the suite demands of revision 2026-07-28, and what it
// tries besides.
func TestStatelessEra(t *testing.T) {
	t.Parallel()
	runSuite(t, "conformance-2026-07-28", startServer(t), "--requirements", "2026-07-28").report(t, 159, readExpected(t, "stateless.txt"))
}

// check is one thing that the suite looked at.
type check struct {
	scenario string
	ID       string `json:"id"`
	Status   string `json:"status"`
	Message  string `json:"errorMessage"`
}

type checks []check

// runSuite runs a package of the suite against a server and returns what it
// found. Whether that is good is up to the caller, not to the exit code.
func runSuite(t *testing.T, name, url string, args ...string) checks {
	t.Helper()
	node, err := filepath.Abs(filepath.Join(modules, "node-linux-"+map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH], "bin", "node"))
	if err != nil {
		t.Fatal(err)
	}
	suite, err := filepath.Abs(filepath.Join(modules, name, "dist", "index.js"))
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	cmd := exec.CommandContext(t.Context(), node, append([]string{suite, "server", "--url", url, "--output-dir", out}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+out)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	all := readChecks(t, out)
	if len(all) == 0 {
		t.Fatalf("%s found nothing: %v\n%s", name, err, text)
	}
	return all
}

// scenarioDir is the name of the folder in which the suite leaves the checks of
// a scenario.
var scenarioDir = regexp.MustCompile(`^server-(.*)-\d{4}-\d\d-\d\dT[\d-]+Z$`)

func readChecks(t *testing.T, dir string) checks {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "checks.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all checks
	for _, file := range files {
		name := scenarioDir.FindStringSubmatch(filepath.Base(filepath.Dir(file)))
		if name == nil {
			t.Fatalf("unknown kind of result: %s", file)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var some checks
		if err := json.Unmarshal(text, &some); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, c := range some {
			c.scenario = name[1]
			all = append(all, c)
		}
	}
	return all
}

// report fails the test unless at least so many checks passed, and exactly the
// expected ones did not.
func (all checks) report(t *testing.T, atLeast int, expected []expectation) {
	t.Helper()
	counts := map[string]int{}
	used := map[string]bool{}
	for _, c := range all {
		counts[c.Status]++
		if c.Status != "FAILURE" && c.Status != "WARNING" {
			continue
		}
		line, ok := c.expected(expected)
		if !ok {
			t.Errorf("%s %s/%s: %s", c.Status, c.scenario, c.ID, c.Message)
		}
		used[line] = true
	}
	for _, e := range expected {
		if !used[e.String()] {
			t.Errorf("%s is expected and does not happen any more", e)
		}
	}
	if counts["SUCCESS"] < atLeast {
		t.Errorf("%d checks passed, %d did before", counts["SUCCESS"], atLeast)
	}
	t.Logf("%d checks passed, %d failed, %d warnings, %d skipped", counts["SUCCESS"], counts["FAILURE"], counts["WARNING"], counts["SKIPPED"])
}

func (c check) expected(list []expectation) (line string, ok bool) {
	for _, e := range list {
		if fits, err := path.Match(e.pattern, c.scenario+"/"+c.ID); err == nil && fits && e.status == c.Status {
			return e.String(), true
		}
	}
	return "", false
}

// expectation is an entry of a file in testdata, without its reason.
type expectation struct{ status, pattern string }

func (e expectation) String() string { return e.status + " " + e.pattern }

func readExpected(t *testing.T, file string) []expectation {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var list []expectation
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "\t") || strings.TrimSpace(line) == "" {
			continue
		}
		status, pattern, _ := strings.Cut(strings.TrimSpace(line), " ")
		list = append(list, expectation{status, pattern})
	}
	return list
}

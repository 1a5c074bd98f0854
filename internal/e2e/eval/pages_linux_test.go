//go:build e2e

package eval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/internal/mcpserve/mcpclient"
)

// toolsPage is where each tool is shown at work.
const toolsPage = "../../../docs/tools.md"

const toolsPreface = `# The tools, with what they answer

The answers are real ones, of a laboratory of network namespaces: ` + "`make eval`" + ` asks these questions and writes this page,
and ` + "`make e2e`" + ` fails if an answer has another form now. In MCP it is a call of the tool with these arguments, on a
command line ` + "`nsenter-mcp call TOOL key=value...`" + `. What all answers have in common is described in [answers.md](answers.md).
The tables of arguments are written by ` + "`make record`" + ` from the schemas.

## Arguments of every tool

A tool's own arguments stand below, in its section. Of ` + "`pod`, `container`, `pid` and `netns`" + ` exactly one names the target.
`

// example is a call that the page shows.
type example struct {
	tool, about string
	arguments   map[string]any
}

// examples name their pods: what else is on the machine is not the page's.
func examples() []example {
	return []example{
		{"resolve_pod_pid", "A pod in CrashLoopBackOff: its pause process keeps the network.", map[string]any{"pod": "batch/worker-1"}},
		{"list_pods", "What can be entered in a namespace, trouble first.", map[string]any{"namespace": "batch"}},
		{"netns_ip_addr", "The same pod from the inside, and why nothing reaches it.", map[string]any{"pod": "batch/worker-1"}},
		{"netns_dns_lookup", "A name as the application looks it up.", map[string]any{"pod": "shop/web-0", "name": "api"}},
		{"netns_dns_lookup", "One that it does not find.", map[string]any{"pod": "shop/web-0", "name": "apy"}},
		{"netns_curl", "A request that works.", map[string]any{"pod": "shop/web-0", "url": "http://api/"}},
		{"netns_curl", "One that cannot leave.", map[string]any{"pod": "shop/cart-0", "url": "http://10.96.0.100/"}},
		{"netns_curl", "One that is refused: is it the path, or the service? next[0] asks inside the destination.",
			map[string]any{"pod": "shop/web-0", "url": "http://10.244.1.50:8080/"}},
		{"trace_packet", "A SYN and its answer.", map[string]any{"pod": "shop/web-0", "destination": "10.244.1.50:80"}},
		{"trace_packet", "An echo.", map[string]any{"pod": "shop/web-0", "destination": "10.244.1.50", "protocol": "icmp"}},
	}
}

// TestToolsPage: the page shows what the tools answer today.
func TestToolsPage(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	ip4 := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 244, 1, last}) }
	app := []lab.ContainerSpec{{Name: "app"}}
	pods := l.Pods(t,
		lab.PodSpec{Name: "api-0", Namespace: "shop", Containers: app, IP: ip4(50)},
		lab.PodSpec{Name: "web-0", Namespace: "shop", Containers: app, IP: ip4(51)},
		lab.PodSpec{Name: "cart-0", Namespace: "shop", Containers: app, IP: ip4(52)},
		lab.PodSpec{Name: "worker-1", Namespace: "batch", IP: ip4(53), Containers: []lab.ContainerSpec{
			{Name: "worker", State: lab.Exited, ExitCode: 1, Restarts: 7},
		}},
	)
	s := &lab.Scene{TB: t, Lab: l, Server: pods[0]}
	s.Serve(lab.Hello)
	s.DNS(true, lab.Names(map[string]string{"api.shop.svc.cluster.local.": s.Service(s.Server.IP)}))
	must(t, pods[2].Break("no default route"))
	must(t, pods[3].Break("node's end of the veth down"))

	client := start(t, l)
	recorded, err := os.ReadFile(toolsPage)
	must(t, err)
	var page strings.Builder
	page.WriteString(toolsPreface + argumentsIn(recorded, "every tool"))
	heading := ""
	for _, e := range examples() {
		if e.tool != heading {
			heading = e.tool
			fmt.Fprintf(&page, "\n## %s\n%s", heading, argumentsIn(recorded, heading))
		}
		must(t, e.write(&page, t, client))
	}
	if *update {
		must(t, os.WriteFile(toolsPage, []byte(page.String()), 0o644))
		return
	}
	now, then := strings.Split(form(page.String()), "\n"), strings.Split(form(string(recorded)), "\n")
	for i := range now {
		if i >= len(then) || now[i] != then[i] {
			t.Fatalf("docs/tools.md, item %d: the answer has another form now; run make eval\n%s\n%s", i+1, now[i], then[min(i, len(then)-1)])
		}
	}
	if len(then) > len(now) {
		t.Error("docs/tools.md goes on where the answers end; run make eval")
	}
}

// argumentsIn returns the table of arguments that `make record` has put into the page,
// or the place for it.
func argumentsIn(page []byte, name string) string {
	begin, end := "\n<!-- arguments of "+name+" -->\n", "<!-- end of arguments -->\n"
	_, rest, _ := strings.Cut(string(page), begin)
	table, _, _ := strings.Cut(rest, end)
	return begin + table + end
}

func (e *example) write(page *strings.Builder, t *testing.T, client *mcpclient.Client) error {
	t.Helper()
	arguments, err := json.Marshal(e.arguments)
	if err != nil {
		return err
	}
	result, err := client.Call(t.Context(), e.tool, e.arguments)
	if err != nil {
		return err
	}
	if result.IsError {
		return fmt.Errorf("%s %s: %s", e.tool, arguments, result.JSON)
	}
	var answer bytes.Buffer
	if err := json.Indent(&answer, result.JSON, "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintf(page, "\n%s\n\n```\n%s %s\n```\n\n```json\n%s\n```\n", e.about, e.tool, arguments, flat.ReplaceAllStringFunc(answer.String(), fold))
	return err
}

// flat matches an array or object without another one in it.
var flat = regexp.MustCompile(`[\[{]\n[^\[\]{}]*[\]}]`)

// fold writes it on one line where it is short.
func fold(text string) string {
	const width = 110
	line := strings.Join(strings.Fields(text), " ")
	if len(line) > width {
		return text
	}
	return line
}

// varying is what differs from run to run: identifiers and measurements.
var varying = regexp.MustCompile(`/run/[^ "]+|fe80::[0-9a-f:]+|([0-9a-f]{2}:){5}[0-9a-f]{2}|veth[0-9a-f]+|[0-9a-f-]{12,}|[0-9]+(\.[0-9]+)?`)

// form is a page without what differs from run to run. Lines are joined, for
// the length of a number decides where they break.
func form(page string) string {
	words := strings.Fields(varying.ReplaceAllString(page, "N"))
	return strings.ReplaceAll(strings.Join(words, " "), ", ", ",\n")
}

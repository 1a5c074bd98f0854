package tools

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/internal/dispatch"

	"github.com/google/jsonschema-go/jsonschema"
)

// sentencesOfOurs are all places where an answer holds more than words and names, and
// why nobody else writes there. A new one is to be looked at: whatever others chose
// reaches it by words.Printable, or not at all.
var sentencesOfOurs = map[string]string{
	".summary": "ours", "findings.fact": "ours", "notes.message": "ours", "next.why": "ours", "error.message": "ours", "error.hint": "ours",
	"data.reason": "worded by package fetch", "attempts.why": "worded by package diagnose", "attempt.why": "likewise", "redirects.why": "one of a list",
	"answer.icmp": "type and code", "answer.from": "an address", "route.rule": "of numbers and interfaces", "return.rule": "likewise", "proxy.exempt_range": "parsed prefixes",
	"chain.key": "kind and size of a key", "data.shell": "of a PID, or a printable path", "data.app_error": "the library's constants",
	"data.source": "one of a list", "dns.source": "one of a list, and an address",
	"records.data": "numbers and names without escapes", "answers.reason": "errno, rcode or ours", "tried.reason": "errno, rcode or ours",
	"ignored.why": "ours", "other_resolvers.why": "ours", "other_resolvers.library": "one of a list", "resolver.library": "one of a list",
	"resolver.order": "services of a list", "resolver.from": "whose file: names that resolve has made printable",
	"data.files_from": "likewise", "candidates.source": "a source of ours",
	"containers.reason": "made printable by resolve", "workloads.reason": "likewise", "pods.reason": "likewise", "status.reason": "likewise", "conditions.reason": "likewise",
	"service.endpoints_unknown": "resolve.SaidError.Words", "sources.error": "resolve.SaidError.Words", "steps.reason": "resolve.SaidError.Words",
	"wire.from": "an address", "backends.why": "ours, with names and reasons that resolve has made printable", "service.why": "likewise",
	"service.error": "resolve.SaidError.Words", "nameserver_service.why": "ours, as above", "nameserver_service.error": "resolve.SaidError.Words", "journey.trail": "words of ours, names of devices, addresses", "data.hops": "likewise", "data.mermaid": "likewise, with entities", "journey.why": "the kernel's errno, in words of ours",
	"steps.action": "ours", "steps.source": "a source of ours",
}

// TestDescriptionsAreShort: a sentence that an agent reads before anything else needs no
// second reading.
func TestDescriptionsAreShort(t *testing.T) {
	t.Parallel()
	const most = 25 // words of a sentence
	for _, tool := range All() {
		for sentence := range strings.SplitSeq(tool.Description, ". ") {
			if n := len(strings.Fields(sentence)); n > most {
				t.Errorf("%s: a sentence of %d words, which is more than %d: %s", tool.Name, n, most, sentence)
			}
		}
	}
}

// plainUntrusted are text of others alone, and no objects of it: the members beside are
// held to what they may be by whoever fills them in.
var plainUntrusted = map[string]string{
	"sources.untrusted": "a version is words.IsVersion, the rest is ours",
}

// TestSentencesAreListed holds the types of all answers against that list.
func TestSentencesAreListed(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for _, tool := range All() {
		schema, err := tool.AnswerSchema()
		if err != nil {
			t.Fatal(err)
		}
		sentencesIn("", "", schema, found)
	}
	for path := range plainUntrusted {
		if !found[path] {
			t.Errorf("%s is in no answer, or is an object", path)
		}
		delete(found, path)
	}
	for path := range found {
		if strings.HasSuffix(path, ".untrusted") {
			t.Errorf("%s is no object: what dispatch moves there would break the schema", path)
			continue
		}
		if sentencesOfOurs[path] == "" {
			t.Errorf("%s may hold sentences: whose?", path)
		}
	}
	for path := range sentencesOfOurs {
		if !found[path] {
			t.Errorf("%s is in no answer", path)
		}
	}
}

// sentencesIn collects the members below a key that are strings, or lists of them, and
// that dispatch takes for sentences.
func sentencesIn(path, key string, s *jsonschema.Schema, found map[string]bool) {
	switch {
	case key == "untrusted" && s.Type == "string":
		parts := strings.Split(path, ".")
		found[strings.Join(parts[max(0, len(parts)-2):], ".")] = true
	case key == "untrusted" || key == "arguments":
	case s.Type == "string" && dispatch.IsSentence(key):
		parts := strings.Split(path, ".")
		found[strings.Join(parts[max(0, len(parts)-2):], ".")] = true // the nearest object tells enough
	case s.Items != nil:
		sentencesIn(path, key, s.Items, found)
	case s.AdditionalProperties != nil && len(s.Properties) == 0:
		sentencesIn(path+".*", key, s.AdditionalProperties, found)
	default:
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			sentencesIn(path+"."+name, name, s.Properties[name], found)
		}
	}
}

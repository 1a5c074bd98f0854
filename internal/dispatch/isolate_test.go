package dispatch

import (
	"encoding/json"
	"strings"
	"testing"

	"nsenter-mcp/internal/words"
)

func TestIsolate(t *testing.T) {
	t.Parallel()
	const hidden = `"` + words.Hidden + `"`
	for _, test := range []struct{ name, data, want string }{
		{"words stay", `{"b":1,"a":"web-0","list":["x","y"],"empty":""}`, ``},
		{"sentences stay", `{"why":"the port speaks TLS","rows":[{"reason":"it is so"}]}`, ``},
		{"text of others stays", `{"untrusted":{"body":"a b\n\u00e4","list":[{"x y":"a b"}]}}`, ``},
		{"an image stays", `{"image":"registry.k8s.io/pause:3.9"}`, ``},
		{"an interface stays", `{"ifname":"gr\u00fcn0","dev":"a\\x1b"}`, ``},
		{"a sentence is no word", `{"a":"call nsenter_exec"}`, `{"a":` + hidden + `,"untrusted":{"a":"call nsenter_exec"}}`},
		{"nor beside text of others", `{"a":"b c","untrusted":{"d":"e"}}`, `{"a":` + hidden + `,"untrusted":{"a":"b c","d":"e"}}`},
		{"nor beside it under the same key", `{"a":"b c","untrusted":{"a":["e"]}}`, `{"a":` + hidden + `,"untrusted":{"a":[["e"],"b c"]}}`},
		{"nor beside what is no object", `{"a":"b c","untrusted":"d e"}`, `{"a":` + hidden + `,"untrusted":{"a":"b c","untrusted":"d e"}}`},
		{"nor beside a list", `{"a":"b c","untrusted":["d"]}`, `{"a":` + hidden + `,"untrusted":{"a":"b c","untrusted":["d"]}}`},
		{"nor beside nothing", `{"a":"b c","untrusted":null}`, `{"a":` + hidden + `,"untrusted":{"a":"b c"}}`},
		{"names that look alike keep their values", `{"\u001b":1,"\\x1b":2}`, `{"untrusted":{"\\x1b":[1,2]}}`},
		{"nor in a list", `{"a":["b","c d","e f"]}`, `{"a":["b",` + hidden + `,` + hidden + `],"untrusted":{"a":["c d","e f"]}}`},
		{"nor below", `{"o":{"p":[{"a":"b c"}]}}`, `{"o":{"p":[{"a":` + hidden + `,"untrusted":{"a":"b c"}}]}}`},
		{"nor an image", `{"image":"ignore all"}`, `{"image":` + hidden + `,"untrusted":{"image":"ignore all"}}`},
		{"nor a long word", `{"a":"` + strings.Repeat("x", 513) + `"}`, `{"a":` + hidden + `,"untrusted":{"a":"` + strings.Repeat("x", 513) + `"}}`},
		{"nor the name of a member", `{"a b":{"c":1}}`, `{"untrusted":{"a b":{"c":1}}}`},
		{"what hides is no word", `{"a":"b\u200bc"}`, `{"a":` + hidden + `,"untrusted":{"a":"b\\u200bc"}}`},
		{"text of others is escaped", `{"untrusted":{"\u001b":["\u202e"]}}`, `{"untrusted":{"\\x1b":["\\u202e"]}}`},
		{"sentences are, and have one line", `{"why":"a\u001b[0m\nb"}`, `{"why":"a\\x1b[0m; b"}`},
	} {
		want := test.want
		if want == "" {
			want = test.data
		}
		got, err := isolate(json.RawMessage(test.data))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s became\n%s, want\n%s (%v)", test.name, test.data, got, want, err)
		}
		if again, err := isolate(got); err != nil || string(again) != string(got) {
			t.Errorf("%s: once more it is %s, %v", test.name, again, err)
		}
	}
	deep := strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 40)
	if got, err := isolate(json.RawMessage(deep)); err == nil {
		t.Errorf("40 levels became %s", got)
	}
}

// A proposal is sent as it is or not made.
func TestIsolateDropsProposals(t *testing.T) {
	t.Parallel()
	e := Envelope{Summary: "s", Next: []Next{
		{Tool: "t", Arguments: map[string]any{"url": "http://a/?q=b c", "body": "x\ny"}, Why: "w"},
		{Tool: "t", Arguments: map[string]any{"url": "http://\u202ea/"}, Why: "w"},
		{Tool: "t", Arguments: map[string]any{"headers": map[string]any{"\u200b": "x"}}, Why: "w"},
	}}
	if err := e.isolate(); err != nil || len(e.Next) != 1 || e.Next[0].Arguments["body"] != "x\ny" {
		t.Errorf("%+v, %v", e.Next, err)
	}
}

func FuzzIsolate(f *testing.F) {
	f.Add(`{"a":["b c",{"untrusted":"\u202e"}],"why":"x"}`)
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			return
		}
		got, err := isolate(json.RawMessage(text))
		if err == nil && !isIsolated(string(got)) {
			t.Errorf("%q became %q", text, got)
		}
	})
}

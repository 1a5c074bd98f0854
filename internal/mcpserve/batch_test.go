package mcpserve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/tools"

	"github.com/mark3labs/mcp-go/mcp"
)

func initializeAs(version string) string {
	return strings.Replace(initialize, "2025-11-25", version, 1)
}

// batchOfAll has each kind of message; batchReplies are what it is answered with, by
// id.
const batchOfAll = `[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/initialized"},` +
	`{"jsonrpc":"2.0","id":"two","method":"tools/call","params":{"name":"progress","_meta":{"progressToken":3}}},` +
	`{"jsonrpc":"2.0","id":9,"result":{}},{"jsonrpc":"2.0","id":4,"method":"no/such"},7]`

func checkBatchReply(t *testing.T, text []byte) {
	t.Helper()
	var replies []reply
	if err := json.Unmarshal(text, &replies); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var got []string
	for _, r := range replies {
		code := 0
		if r.Error != nil {
			code = r.Error.Code
		}
		got = append(got, fmt.Sprintf("%s %d", r.ID, code))
	}
	if want := []string{`1 0`, `"two" 0`, `4 -32601`, `null -32600`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBatchOverStdio(t *testing.T) {
	t.Parallel()
	p := serve(t, &fakeDispatcher{}, nil)
	p.write(initializeAs(batchVersion) + "\n")
	if r := p.next(); r.Result.ProtocolVersion != batchVersion {
		t.Fatalf("%+v", r)
	}
	p.write(batchOfAll + "\n")
	for range 5 {
		if r := p.next(); r.Method != "notifications/progress" {
			t.Fatalf("%+v", r)
		}
	}
	checkBatchReply(t, []byte(receive(t, "the replies", p.lines)))
	// Nothing is due to these, and nothing is written.
	p.write(`[{"jsonrpc":"2.0","method":"notifications/initialized"},{"jsonrpc":"2.0","id":9,"result":{}}]` + "\n")
	for _, wrong := range []string{"[]", "[" + strings.Repeat("1,", maxBatch) + "1]"} {
		p.write(wrong + "\n")
		if r := p.next(); r.Error == nil || r.Error.Code != -32600 || string(r.ID) != "null" {
			t.Errorf("%.10s: %+v", wrong, r)
		}
	}
	// A request of a batch is cancelled as any other.
	d := &fakeDispatcher{started: make(chan string, 1)}
	p = serve(t, d, nil)
	p.write(initializeAs(batchVersion) + "\n")
	p.next()
	p.write("[" + strings.TrimSpace(callLine("5", "hang", "{}")) + "]\n")
	awaitStart(t, d)
	p.write(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5}}` + "\n")
	_ = p.in.Close()
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if rest := p.rest(); len(rest) != 0 {
		t.Errorf("%+v", rest)
	}
}

func TestBatchOverHTTP(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, &fakeDispatcher{}, nil)
	open := func(version string) era {
		got := s.do(s.post(initializeAs(version), era{token: testSecret}))
		return era{session: got.header.Get(mcp.HeaderSessionID), token: testSecret}
	}
	e := open(batchVersion)
	r := s.post(batchOfAll, e)
	r.Header.Set("Accept", "application/json")
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var text json.RawMessage
	if err := json.NewDecoder(response.Body).Decode(&text); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v", response.StatusCode, err)
	}
	checkBatchReply(t, text)

	silent := s.post(`[{"jsonrpc":"2.0","method":"notifications/initialized"}]`, e)
	if got := s.do(silent); got.status != http.StatusAccepted || got.body != "" {
		t.Errorf("notifications alone: %d %s", got.status, got.body)
	}
	for _, version := range []string{"2024-11-05", "2025-06-18", "2025-11-25"} {
		if got := s.do(s.post(batchOfAll, open(version))); got.status != http.StatusBadRequest || !strings.Contains(got.body, batchVersion) {
			t.Errorf("%s: %d %s", version, got.status, got.body)
		}
	}
}

// tools/list has the dispatcher's order, which is everybody's.
func TestOrderOfTheList(t *testing.T) {
	t.Parallel()
	var want []string
	for _, tool := range (&fakeDispatcher{}).Tools() {
		want = append(want, tool.Name)
	}
	check := func(text json.RawMessage) {
		t.Helper()
		var list struct{ Tools []struct{ Name string } }
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, tool := range list.Tools {
			got = append(got, tool.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	text, err := newFakeServer(t, &fakeDispatcher{}).ListTools(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	check(text)
	want = nil
	for _, tool := range tools.All() {
		want = append(want, tool.Name)
	}
	s, _ := realServer(t, everything())
	if text, err = s.ListTools(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(text)
}

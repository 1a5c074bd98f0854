package tools

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// counted is a pod and a server that are asked several times.
func counted(t *testing.T, handler http.HandlerFunc) (*testbench, map[string]any) {
	t.Helper()
	b := newTestbench(t, nil)
	s := b.lab.Scene(t, &lab.Fault{Count: 5, Serve: func(s *lab.Scene) string { return s.Serve(handler) }}, 0)
	return b, s.Arguments("netns_curl")
}

func TestCurlCountsTries(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 100)
	b, args := counted(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.RemoteAddr
		if len(asked) == 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	args["timeout_ms"] = 40_000 // a busy machine
	answer, data := succeed[fact.Fetch](t, b, "netns_curl", args)
	if *data.Status != 503 || data.Tries == nil || data.Tries.Done != 5 || data.Tries.OK != 4 || data.Tries.Failed["http_error"] != 1 || !data.Complete {
		t.Errorf("%s %+v", answer.Summary, data.Tries)
	}
	from := map[string]bool{}
	for range len(asked) {
		from[<-asked] = true
	}
	if len(from) != 5 {
		t.Errorf("%d connections, want 5", len(from))
	}
	if text, _ := json.Marshal(answer); len(text) > 2000 {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

// TestCurlCountSaysWhatDidNotFit: from the third on, tries wait until the time is up.
func TestCurlCountSaysWhatDidNotFit(t *testing.T) {
	t.Parallel()
	requests := make(chan struct{}, 100)
	b, args := counted(t, func(_ http.ResponseWriter, r *http.Request) {
		requests <- struct{}{}
		if len(requests) > 2 {
			<-r.Context().Done()
		}
	})
	args["count"], args["timeout_ms"] = 50, 8000
	var progress []dispatch.Progress
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	answer := b.Call(t.Context(), dispatch.Call{Tool: "netns_curl", Arguments: raw, Progress: func(p dispatch.Progress) { progress = append(progress, p) }})
	var data fact.Fetch
	if err := json.Unmarshal(answer.Data.(json.RawMessage), &data); err != nil {
		t.Fatal(err)
	}
	if data.Tries.Count != 50 || data.Tries.Done == 50 || data.Complete {
		t.Errorf("%s %+v", answer.Summary, data.Tries)
	}
	grows := slices.IsSortedFunc(progress, func(a, b dispatch.Progress) int { return int(a.Done - b.Done) })
	if len(progress) == 0 || !grows || progress[0].Total != 50 {
		t.Errorf("progress %+v", progress)
	}
}

func TestCancelEndsCountedTries(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	b, args := counted(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	args["timeout_ms"] = 50_000
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if answer := b.Call(ctx, dispatch.Call{Tool: "netns_curl", Arguments: raw}); answer.Error == nil || time.Since(start) > 40*time.Second {
		t.Errorf("%s after %s", answer.Summary, time.Since(start))
	}
}

// TestCountedTriesObeyThePolicy: of several tries, too, nothing is sent where the policy
// refuses, and nothing that changes something is repeated.
func TestCountedTriesObeyThePolicy(t *testing.T) {
	t.Parallel()
	b, args := counted(t, func(http.ResponseWriter, *http.Request) { t.Error("a request came") })
	b.Policy.UnsafeMethods = true
	args["method"] = "POST"
	fail(t, b, dispatch.CodeInvalidArguments, "netns_curl", args)
	delete(args, "method")
	args["url"] = "http://169.254.169.254/"
	fail(t, b, dispatch.CodeDestinationDenied, "netns_curl", args)
	args["count"] = 51
	fail(t, b, dispatch.CodeInvalidArguments, "netns_curl", args)
}

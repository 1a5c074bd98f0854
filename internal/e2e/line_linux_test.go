//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"testing"
)

// lineServer is the program at the other end of two pipes, without a client
// library between: a benchmark of it sees what the program costs, and not what
// whoever decodes the answers does.
type lineServer struct {
	in  io.Writer
	out *bufio.Reader
}

func startLines(b *testing.B, args ...string) *lineServer {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), program(), args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // it ends with its input
	})
	s := &lineServer{in, bufio.NewReaderSize(out, 1<<20)}
	s.exchange(b, []byte(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`+"\n"))
	return s
}

// exchange writes a request and reads its answer, which is valid until the next.
func (s *lineServer) exchange(b *testing.B, request []byte) []byte {
	if _, err := s.in.Write(request); err != nil {
		b.Fatal(err)
	}
	answer, err := s.out.ReadSlice('\n')
	if err != nil {
		b.Fatal(err)
	}
	return answer
}

// call returns the request for a tool, after making sure that it is answered
// well.
func (s *lineServer) call(b *testing.B, tool string, arguments map[string]any) []byte {
	b.Helper()
	params, err := json.Marshal(map[string]any{"name": tool, "arguments": arguments})
	if err != nil {
		b.Fatal(err)
	}
	request := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%s}`+"\n", params)
	var answer struct {
		Result struct {
			IsError bool            `json:"isError"`
			Data    json.RawMessage `json:"structuredContent"`
		} `json:"result"`
	}
	text := s.exchange(b, request)
	if err := json.Unmarshal(text, &answer); err != nil || answer.Result.IsError || answer.Result.Data == nil {
		b.Fatalf("%v: %s", err, text)
	}
	return request
}

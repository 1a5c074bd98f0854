//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/mcpserve/mcpclient"
)

// run runs a command to its end and returns its standard output, trimmed.
func run(t *testing.T, in io.Reader, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	if t.Context().Err() != nil { // in a cleanup
		cmd = exec.Command(name, args...)
	}
	cmd.Stdin, cmd.Stderr = in, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, tail(stderr.Bytes(), 4000))
	}
	return strings.TrimSpace(string(out))
}

// await polls for something that no event announces.
func await(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain until %s", limit, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func tail(text []byte, limit int) []byte {
	return text[max(0, len(text)-limit):]
}

// envelope is an answer as a client reads it.
type envelope struct {
	Summary string
	Target  struct {
		Pod, Namespace, Container, Via string
		PID                            int
		NetnsCookie                    uint64 `json:"netns_cookie"`
		HostNetwork                    bool   `json:"host_network"`
		Node                           string
	}
	Data     json.RawMessage
	Findings []struct{ Code, Fact string }
	Notes    []struct{ Code, Message string }
	Next     []struct {
		Tool      string
		Arguments map[string]any
	}
	Error *struct {
		Code, Stage, Message, Hint string
		Details                    struct {
			Was, Is    uint64
			Untrusted  struct{ Message string }
			State      string
			NearMisses []string `json:"near_misses"`
			ExitCode   *int     `json:"exit_code"`
		}
	}
}

// connect starts the program as a client does.
func connect(t *testing.T, command ...string) *mcpclient.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = &stderr
	client, err := mcpclient.Start(ctx, cmd)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("end of %s: %v", command[0], err)
		}
	})
	return client
}

// call makes one call and decodes the answer.
func call(t *testing.T, client *mcpclient.Client, tool string, arguments map[string]any) envelope {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	result, err := client.Call(ctx, tool, arguments)
	if err != nil {
		t.Fatalf("%s %v: %v", tool, arguments, err)
	}
	var answer envelope
	if err := json.Unmarshal(result.JSON, &answer); err != nil {
		t.Fatalf("%s %v: %v in %s", tool, arguments, err, result.JSON)
	}
	if result.IsError != (answer.Error != nil) {
		t.Errorf("%s %v: isError is %v beside error %+v", tool, arguments, result.IsError, answer.Error)
	}
	return answer
}

// succeed is call for an answer that must be no error.
func succeed(t *testing.T, client *mcpclient.Client, tool string, arguments map[string]any) envelope {
	t.Helper()
	answer := call(t, client, tool, arguments)
	if answer.Error != nil {
		t.Fatalf("%s %v: %+v", tool, arguments, *answer.Error)
	}
	return answer
}

// fail is call for an answer that must be the error code.
func fail(t *testing.T, client *mcpclient.Client, code, tool string, arguments map[string]any) envelope {
	t.Helper()
	answer := call(t, client, tool, arguments)
	if answer.Error == nil {
		t.Fatalf("%s %v succeeded: %s", tool, arguments, answer.Summary)
	}
	if answer.Error.Code != code {
		t.Fatalf("%s %v: code %s (%s), want %s", tool, arguments, answer.Error.Code, answer.Error.Message, code)
	}
	if answer.Error.Hint == "" {
		t.Errorf("%s %v: %s comes without a hint", tool, arguments, code)
	}
	return answer
}

// addresses are the IPv4 addresses of an interface in an answer of
// netns_ip_addr.
func addresses(t *testing.T, answer envelope, name string) []string {
	t.Helper()
	var data struct {
		Interfaces []struct {
			Name string                           `json:"ifname"`
			Addr []struct{ Family, Local string } `json:"addr_info"`
		}
	}
	if err := json.Unmarshal(answer.Data, &data); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, i := range data.Interfaces {
		for _, a := range i.Addr {
			if i.Name == name && a.Family == "inet" {
				found = append(found, a.Local)
			}
		}
	}
	return found
}

package dispatch

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"nsenter-mcp/resolve"
)

// Whoever gives the address of a service is led to the pods behind it.
func TestServiceAddress(t *testing.T) {
	t.Parallel()
	service := &resolve.Service{Name: "web", Namespace: "shop", Ports: []resolve.ServicePort{{Protocol: "TCP", Port: 80}}, Ready: 2, Total: 5}
	for _, name := range []string{"web-0", "", "web-1", "web-2", "web-3"} {
		service.Endpoints = append(service.Endpoints, resolve.Endpoint{Address: "10.244.1.1", Pod: name, Namespace: "shop", Node: "node-2"})
	}
	e := failed(nil, &resolve.Error{Kind: resolve.KindService, Message: "m", Hint: "h", Service: service}, StageResolve)
	if e.Error.Code != "ip_is_service" || e.Error.Details.Service != service {
		t.Errorf("got %+v", e.Error)
	}
	if len(e.Next) != maxNext || e.Next[0].Tool != "resolve_pod_pid" || e.Next[1].Arguments["pod"] != "web-1" || e.Next[1].Arguments["namespace"] != "shop" ||
		!strings.Contains(e.Next[0].Why, "node node-2") {
		t.Errorf("next is %+v", e.Next)
	}
	other := failed(nil, &resolve.Error{Kind: resolve.KindNotFound, Message: "m"}, StageResolve)
	if text, err := json.Marshal(other); err != nil || !strings.Contains(string(text), `"next":[]`) {
		t.Errorf("got %s, %v", text, err)
	}
}

// A server that has no file left says so, wherever it ran out of them.
func TestOutOfFiles(t *testing.T) {
	t.Parallel()
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE} {
		e := publicError(fmt.Errorf("open netlink: %w", os.NewSyscallError("socket", errno)), StageProbe)
		if e.Code != CodeBusy || !strings.Contains(e.Hint, "LimitNOFILE") {
			t.Errorf("%v: %+v", errno, e)
		}
	}
}

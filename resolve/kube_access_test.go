package resolve

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestKubeReport(t *testing.T) {
	t.Parallel()
	api := newKubeAPI(t)
	report, err := api.kube.Report(t.Context(), "")
	if err != nil || len(report.Denied) != 0 || report.Node != "" || report.NodeErr != nil || report.Server != strings.TrimPrefix(api.URL, "https://") {
		t.Errorf("got %+v, %v", report, err)
	}
	if report, err := api.kube.Report(t.Context(), "nsenter-mcp"); err != nil || len(report.ExecDenied) != 0 {
		t.Errorf("got %+v, %v", report, err)
	}
	api.deny("list pods", "list endpointslices", "get nodes", "list nodes")
	report, err = api.kube.Report(t.Context(), "")
	if err != nil || !slices.Equal(report.Denied, []string{"list pods", "get nodes", "list nodes", "list endpointslices.discovery.k8s.io"}) {
		t.Errorf("got %+v, %v", report, err)
	}
	if report.NodeErr == nil || !strings.Contains(report.NodeErr.Error(), "not allowed to list nodes") {
		t.Errorf("node: %v", report.NodeErr)
	}
	api.deny("create pods/exec")
	report, err = api.kube.Report(t.Context(), "nsenter-mcp")
	if err != nil || !slices.Equal(report.ExecDenied, []string{"list pods in namespace nsenter-mcp", "create pods/exec in namespace nsenter-mcp"}) {
		t.Errorf("got %+v, %v", report, err)
	}
	for _, part := range []string{"--verb=get,list", "pods,nodes,services,endpointslices.discovery.k8s.io,", "deployments.apps"} {
		if !strings.Contains(report.Grant, part) {
			t.Errorf("%q lacks %q", report.Grant, part)
		}
	}
	other := api.source(t, KubeOptions{Config: api.config(t), Context: "other"})
	if _, err := other.Report(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("got %v", err)
	}
	t.Run("absent", func(t *testing.T) {
		none := NewKube(KubeOptions{Config: t.TempDir()})
		if _, err := none.Report(t.Context(), ""); err == nil || errors.Is(err, ErrAbsent) {
			t.Errorf("a directory: got %v", err)
		}
	})
}

package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/mcpserve"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/tools"
)

func newTools(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "tools",
		Short: "List the tools that an agent can call",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			policy, err := o.policy()
			if err != nil {
				return err
			}
			// It has nothing to log, but a wrong flag is as wrong here as elsewhere.
			if _, err := o.logger(io.Discard, slog.LevelWarn); err != nil {
				return err
			}
			d, err := dispatch.NewDispatcher(dispatch.Config{Tools: tools.All(), Policy: policy.Policy})
			if err != nil {
				return err
			}
			if !asJSON {
				return printTools(cmd.OutOrStdout(), d.Tools())
			}
			s := mcpserve.New(mcpserve.Config{
				Dispatcher: d, Version: buildInfo().Version, Logger: slog.New(slog.DiscardHandler),
			})
			list, err := s.ListTools(cmd.Context())
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), list, false)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result of tools/list, as an agent gets it")
	return cmd
}

func printTools(w io.Writer, list []dispatch.Tool) error {
	width := len("TOOL")
	for _, t := range list {
		width = max(width, len(t.Name))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%-*s  %-8s %s\n", width, "TOOL", "TOOLSET", "WHAT IT ANSWERS")
	for _, t := range list {
		indent := width + 2 + 8 + 1
		for i, line := range words.Wrap(t.Description, max(40, 100-indent)) {
			if i == 0 {
				fmt.Fprintf(&b, "%-*s  %-8s %s\n", width, t.Name, t.Toolset, line)
			} else {
				fmt.Fprintf(&b, "%*s%s\n", indent, "", line)
			}
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/tools"
)

const callHelp = `Call a tool once and print its answer as JSON, exactly what an agent would get.

Arguments are written key=value. A value that is JSON is taken as that (5, true,
["a","b"], {"k":"v"}), anything else as text. A single - reads all arguments
from standard input, as one JSON object.

The exit code is 0 for an answer, 1 if the tool could not do its work (the
answer then has an error that says why and what to do), 2 for a wrong command
line. What the network did, a refused connection for example, is an answer.`

const callExamples = `  nsenter-mcp call resolve_pod_pid
  nsenter-mcp call netns_ip_addr pod=web-0 namespace=shop
  nsenter-mcp call netns_ip_addr container=3f1c details=true --json
  echo '{"pid": 4242}' | nsenter-mcp call netns_ip_addr -`

func newCall(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "call TOOL [key=value...]",
		Short:   "Call a tool and print its answer",
		Long:    callHelp,
		Example: callExamples,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("call needs the name of a tool; 'nsenter-mcp tools' lists them")
			}
			return nil
		},
		ValidArgsFunction: completeTool,
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, err := callOnce(cmd, o, args[0], args[1:])
			if err != nil {
				return err
			}
			if err := printJSON(cmd.OutOrStdout(), answer, !asJSON); err != nil {
				return err
			}
			if answer.IsError() {
				return errReported
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%v%s", err, hintOfFlag(err)) })
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer on one line")
	return cmd
}

// hintOfFlag says how a tool's argument is written, which many write like a
// flag.
func hintOfFlag(err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || len(unknown.GetSpecifiedName()) < 2 {
		return ""
	}
	name := strings.ReplaceAll(unknown.GetSpecifiedName(), "-", "_")
	return fmt.Sprintf("; an argument of the tool is written without dashes: %s=...", name)
}

// completeTool offers the names of tools to the shell.
func completeTool(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if len(args) == 0 {
		for _, t := range tools.All() {
			names = append(names, t.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func callOnce(cmd *cobra.Command, o *options, tool string, args []string) (*dispatch.Envelope, error) {
	arguments, err := callArguments(args, cmd.InOrStdin())
	if err != nil {
		return nil, err
	}
	log, err := o.logger(cmd.ErrOrStderr(), slog.LevelWarn)
	if err != nil {
		return nil, err
	}
	n, err := o.open(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = n.Close() }() // the process ends
	answer := n.dispatcher.Call(cmd.Context(), dispatch.Call{Tool: tool, Arguments: arguments, Caller: "command line"})
	if answer.Error != nil && answer.Error.Code == dispatch.CodeUnknownTool {
		return nil, usagef("%s: %s", answer.Error.Message, answer.Error.Hint)
	}
	return answer, nil
}

// maxArguments bounds what is read from standard input, as the server bounds
// what an agent may send.
const maxArguments = 1 << 20

// callArguments makes the JSON object of a call from the command line, or
// reads it from in.
func callArguments(args []string, in io.Reader) (json.RawMessage, error) {
	if len(args) == 1 && args[0] == "-" {
		text, err := io.ReadAll(io.LimitReader(in, maxArguments+1))
		switch {
		case err != nil:
			return nil, fmt.Errorf("read arguments from standard input: %w", err)
		case len(text) > maxArguments:
			return nil, usagef("the arguments on standard input have more than %d bytes", maxArguments)
		case !json.Valid(text):
			return nil, usagef("what standard input holds is not JSON")
		}
		return text, nil
	}
	object := make(map[string]json.RawMessage, len(args))
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if strings.HasPrefix(arg, "{") {
			return nil, usagef("argument %q is not of the form key=value; a single - reads JSON from standard input", arg)
		}
		if !ok || key == "" {
			return nil, usagef("argument %q is not of the form key=value", arg)
		}
		if _, twice := object[key]; twice {
			return nil, usagef("argument %s is given twice; a list is written %s='[\"a\",\"b\"]'", key, key)
		}
		if json.Valid([]byte(value)) {
			object[key] = json.RawMessage(value)
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("argument %s: %w", key, err)
		}
		object[key] = text
	}
	return json.Marshal(object)
}

// printJSON writes v on one line, or indented for a person.
func printJSON(w io.Writer, v any, indent bool) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(v); err != nil {
		return errors.Join(errors.New("encode the answer"), err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

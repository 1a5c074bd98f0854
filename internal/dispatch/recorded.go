package dispatch

import (
	"embed"
	"encoding/json"
)

// Recorded holds the schemas of all tools, made from their types by
// `make record` and held against them by a test. Making them takes longer than
// the rest of the start, and as files they show in review what agents see.
//
//go:embed schemas/*.json
var Recorded embed.FS

// schemasOf returns the recorded schemas of a tool, or makes them from its types
// where none are recorded yet.
func schemasOf[In, Out any](name string) (input, output json.RawMessage, err error) {
	input, errIn := Recorded.ReadFile(InputFile(name))
	output, errOut := Recorded.ReadFile(OutputFile(name))
	if errIn == nil && errOut == nil {
		return input, output, nil
	}
	return makeSchemas[In, Out]()
}

func makeSchemas[In, Out any]() (input, output json.RawMessage, err error) {
	if input, err = inputSchema[In](); err != nil {
		return nil, nil, err
	}
	if output, err = outputSchema[Out](); err != nil {
		return nil, nil, err
	}
	return input, output, nil
}

// InputFile is the path of the recorded schema of a tool's arguments.
func InputFile(name string) string { return "schemas/" + name + ".input.json" }

// OutputFile is the path of the recorded schema of a tool's answers.
func OutputFile(name string) string { return "schemas/" + name + ".output.json" }

package dispatch

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// inputSchema is the schema of the arguments In: closed, as unknown arguments
// are errors, with the bounds that decode enforces.
func inputSchema[In any]() (json.RawMessage, error) {
	schema, err := jsonschema.For[In](nil)
	if err != nil {
		return nil, fmt.Errorf("input schema: %w", err)
	}
	if err := publish(schema, true); err != nil {
		return nil, fmt.Errorf("input schema: %w", err)
	}
	for _, argument := range commonArguments() {
		if property := schema.Properties[argument.name]; property != nil && property.Description == argument.meaning {
			property.Description = "" // the instructions have it once for all tools
		}
	}
	if err := addBounds(schema, shapeOf(reflect.TypeFor[In]())); err != nil {
		return nil, fmt.Errorf("input schema: %w", err)
	}
	return json.Marshal(schema)
}

// outputSchema is the schema of the envelope around Out that is published. It
// stays open, so that a field added later breaks no client, and requires only
// what failures carry too: clients hold failures against it as well.
//
// Every client fetches the schemas of all tools before its first call, and few
// show them to a model, so it is terse: two levels by name and type. What lies
// deeper is an object of some kind, and what the names mean the types say
// (wholeOutput) and the documentation.
func outputSchema[Out any]() (json.RawMessage, error) {
	envelope, err := wholeOutput[Out]()
	if err != nil {
		return nil, err
	}
	terse(envelope.Properties["data"], 0)
	for name, property := range envelope.Properties {
		if name != "data" {
			terse(property, 1)
		}
	}
	return json.Marshal(envelope)
}

// wholeOutput is the schema of the envelope around Out with all that the types
// say.
func wholeOutput[Out any]() (*jsonschema.Schema, error) {
	envelope, err := jsonschema.For[Envelope](nil)
	if err != nil {
		return nil, fmt.Errorf("output schema: %w", err)
	}
	data, err := jsonschema.For[Out](nil)
	if err != nil {
		return nil, fmt.Errorf("output schema: %w", err)
	}
	envelope.Required = []string{"summary", "findings", "notes", "next"}
	envelope.Properties["data"] = data
	if err := publish(envelope, false); err != nil {
		return nil, fmt.Errorf("output schema: %w", err)
	}
	return envelope, nil
}

// publish walks a generated schema and makes it what clients of all makes
// accept: no "null" beside a type (we return none), no schema that is a bare
// true, properties in every object and items in every array.
func publish(s *jsonschema.Schema, closed bool) error {
	if len(s.Types) == 2 && s.Types[0] == "null" {
		s.Type, s.Types = s.Types[1], nil
	}
	switch s.Type {
	case "object":
		if s.Properties == nil {
			s.Properties = map[string]*jsonschema.Schema{}
		}
		isMap := len(s.Properties) == 0
		switch {
		case isMap && isAny(s.AdditionalProperties), !isMap && !closed:
			s.AdditionalProperties = nil
		case isMap:
			if err := publish(s.AdditionalProperties, closed); err != nil {
				return err
			}
		}
	case "array":
		if isAny(s.Items) {
			return fmt.Errorf("array of anything")
		}
		return publish(s.Items, closed)
	case "":
		return fmt.Errorf("value of any type")
	}
	for name, property := range s.Properties {
		if err := publish(property, closed); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// namedLevels are those on which the members of objects are named.
const namedLevels = 2

// knownFrom begins the description of an object that the schema of another tool names the
// members of; they are not published twice.
const knownFrom = "as of "

// terse shortens the schema of a part of an output, on its level.
func terse(s *jsonschema.Schema, level int) {
	if s.Type == "object" && strings.HasPrefix(s.Description, knownFrom) {
		level = namedLevels
	}
	s.Description, s.Minimum, s.Maximum = "", nil, nil
	if level > 0 {
		s.Required = nil
	}
	switch {
	case s.Items != nil:
		terse(s.Items, level) // members are on the level of their list
	case s.Type == "object" && level >= namedLevels:
		s.Properties, s.PropertyOrder, s.AdditionalProperties = map[string]*jsonschema.Schema{}, nil, nil
	case s.AdditionalProperties != nil:
		terse(s.AdditionalProperties, level+1)
	}
	for _, property := range s.Properties {
		terse(property, level+1)
	}
}

// isAny reports whether a schema says nothing, which is written as true.
func isAny(s *jsonschema.Schema) bool {
	return s == nil || reflect.DeepEqual(s, &jsonschema.Schema{})
}

// addBounds copies the tags enum, min and max of an input struct into its
// schema. (The generator reads descriptions only.)
func addBounds(s *jsonschema.Schema, fields shape) error {
	for _, f := range fields {
		property := s.Properties[f.name]
		if property == nil {
			return fmt.Errorf("%s: no property was generated", f.name)
		}
		element := property
		if property.Type == "array" {
			element = property.Items
		}
		if f.enum != nil && element.Type != "string" {
			return fmt.Errorf("%s: enum on a field that holds no strings", f.name)
		}
		for _, v := range f.enum {
			element.Enum = append(element.Enum, v)
		}
		if f.bounded {
			element.Minimum, element.Maximum = &f.lowest, &f.highest
		}
		if f.inner != nil && f.typ.Kind() != reflect.Map {
			if err := addBounds(element, f.inner); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
	}
	return nil
}

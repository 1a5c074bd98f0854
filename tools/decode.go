package tools

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"nsenter-mcp/internal/suggest"
)

// decode fills into, a pointer to an input struct, from the JSON object raw.
// Names are strict: an unknown argument is an error that tells the likely one.
// Types are lenient, as models write them: "80" is 80, "A" is ["A"], "true" is
// true, 1.0 is 1, and null is absent.
func decode(raw json.RawMessage, into any) error {
	tree, err := parseObject(raw)
	if err != nil {
		return err
	}
	target := reflect.ValueOf(into).Elem()
	clean, err := coerceObject(tree, target.Type(), "")
	if err != nil {
		return err
	}
	normal, err := json.Marshal(clean)
	if err != nil {
		return fmt.Errorf("encode arguments: %w", err)
	}
	if err := json.Unmarshal(normal, into); err != nil {
		// Only what JSON can state and the Go type cannot hold comes here.
		var mismatch *json.UnmarshalTypeError
		if errors.As(err, &mismatch) {
			// The struct that all inputs embed is no part of an argument's name.
			return invalidArgument(strings.TrimPrefix(mismatch.Field, "TargetArgs."), fmt.Sprintf("%s is out of range", mismatch.Value))
		}
		return invalidArgument("", err.Error())
	}
	return nil
}

func parseObject(raw json.RawMessage) (map[string]any, error) {
	if trimmed := bytes.TrimSpace(raw); len(trimmed) == 0 || string(trimmed) == "null" {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, invalidArgument("", "arguments are not JSON: "+err.Error())
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, invalidArgument("", "arguments hold more than one JSON value")
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return nil, invalidArgument("", "arguments must be a JSON object, not "+kindOf(tree))
	}
	return object, nil
}

// field is one argument of an input struct.
type field struct {
	name string
	typ  reflect.Type
	tag  reflect.StructTag
}

func fieldsOf(t reflect.Type) []field {
	var fields []field
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "" || name == "-" {
			continue
		}
		fields = append(fields, field{name, f.Type, f.Tag})
	}
	return fields
}

func coerceObject(tree map[string]any, t reflect.Type, path string) (map[string]any, error) {
	fields := fieldsOf(t)
	clean := make(map[string]any, len(tree))
	// Sorted, so that the same mistake gives the same message.
	for _, name := range slices.Sorted(mapKeys(tree)) {
		value := tree[name]
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if i < 0 {
			return nil, unknownArgument(path, name, fields)
		}
		if value == nil {
			continue
		}
		converted, err := coerce(value, fields[i].typ, path+name)
		if err != nil {
			return nil, err
		}
		if err := checkBounds(converted, fields[i], path+name); err != nil {
			return nil, err
		}
		clean[name] = converted
	}
	return clean, nil
}

// mapKeys iterates over the keys of m.
func mapKeys(m map[string]any) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func coerce(value any, t reflect.Type, path string) (any, error) {
	switch t.Kind() {
	case reflect.Pointer:
		return coerce(value, t.Elem(), path)
	case reflect.Struct:
		object, ok := value.(map[string]any)
		if !ok {
			return nil, wrongType(path, "an object", value)
		}
		return coerceObject(object, t, path+".")
	case reflect.Map:
		object, ok := value.(map[string]any)
		if !ok {
			return nil, wrongType(path, "an object", value)
		}
		clean := make(map[string]any, len(object))
		for name, v := range object {
			converted, err := coerce(v, t.Elem(), path+"."+name)
			if err != nil {
				return nil, err
			}
			clean[name] = converted
		}
		return clean, nil
	case reflect.Slice:
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		clean := make([]any, len(list))
		for i, v := range list {
			converted, err := coerce(v, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
			if err != nil {
				return nil, err
			}
			clean[i] = converted
		}
		return clean, nil
	case reflect.Bool:
		return toBool(value, path)
	case reflect.String:
		return toString(value, path)
	case reflect.Float32, reflect.Float64:
		return toNumber(value, path)
	default: // the integer kinds; inputSchema admits no others
		return toInteger(value, path)
	}
}

func toBool(value any, path string) (any, error) {
	switch v := value.(type) {
	case bool:
		return v, nil
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true", "yes", "1":
			return true, nil
		case "false", "no", "0":
			return false, nil
		}
	case json.Number:
		switch v {
		case "1":
			return true, nil
		case "0":
			return false, nil
		}
	}
	return nil, wrongType(path, "true or false", value)
}

func toString(value any, path string) (any, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return nil, wrongType(path, "a string", value)
}

func toNumber(value any, path string) (any, error) {
	text, ok := numeral(value)
	if !ok {
		return nil, wrongType(path, "a number", value)
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(number, 0) || math.IsNaN(number) {
		return nil, wrongType(path, "a number", value)
	}
	return number, nil
}

func toInteger(value any, path string) (any, error) {
	text, ok := numeral(value)
	if !ok {
		return nil, wrongType(path, "a whole number", value)
	}
	// "1.0" and "1e3" are whole numbers too. The length is bounded first, as
	// the exponent decides how much memory an exact number takes.
	// Written anew, as "+5" and "007" are no numbers of JSON.
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return json.Number(strconv.FormatInt(n, 10)), nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return json.Number(strconv.FormatUint(n, 10)), nil
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || number != math.Trunc(number) || math.Abs(number) > 1<<53 {
		return nil, wrongType(path, "a whole number", value)
	}
	whole, _ := big.NewFloat(number).Int(nil)
	return json.Number(whole.String()), nil
}

func numeral(value any) (string, bool) {
	switch v := value.(type) {
	case json.Number:
		return v.String(), true
	case string:
		return strings.TrimSpace(v), true
	}
	return "", false
}

// checkBounds holds a converted value against the tags enum, min and max,
// which inputSchema publishes.
func checkBounds(value any, f field, path string) error {
	if allowed, ok := f.tag.Lookup("enum"); ok {
		valid := strings.Split(allowed, ",")
		values, isList := value.([]any)
		if !isList {
			values = []any{value}
		}
		for _, v := range values {
			if s, _ := v.(string); !slices.Contains(valid, s) {
				return &failure{public: Error{
					Code: CodeInvalidArguments, Stage: stageArguments,
					Message: fmt.Sprintf("%s is %s; it must be one of %s", path, quote(s), strings.Join(valid, ", ")),
					Hint:    didYouMean(s, valid),
					Details: ErrorDetails{Valid: valid},
				}}
			}
		}
	}
	lowest, highest, bounded := numberBounds(f.tag)
	if !bounded {
		return nil
	}
	number, err := strconv.ParseFloat(fmt.Sprint(value), 64)
	if err != nil || number < lowest || number > highest {
		return invalidArgument(path, fmt.Sprintf("%v is not between %v and %v", value, lowest, highest))
	}
	return nil
}

// numberBounds reads the tags min and max; both or none are given.
func numberBounds(tag reflect.StructTag) (lowest, highest float64, ok bool) {
	lowest, errLow := strconv.ParseFloat(tag.Get("min"), 64)
	highest, errHigh := strconv.ParseFloat(tag.Get("max"), 64)
	return lowest, highest, errLow == nil && errHigh == nil
}

func unknownArgument(path, name string, fields []field) error {
	valid := make([]string, len(fields))
	for i, f := range fields {
		valid[i] = f.name
	}
	return &failure{public: Error{
		Code: CodeUnknownArgument, Stage: stageArguments,
		Message: "unknown argument " + quote(path+name),
		Hint:    hintFor(name, valid),
		Details: ErrorDetails{Valid: valid},
	}}
}

// hintFor: an address names a target too, but only one tool looks for it.
func hintFor(name string, valid []string) string {
	if name == "ip" {
		return "call resolve_pod_pid with ip first, then name the target as it does under next"
	}
	return didYouMean(name, valid)
}

func wrongType(path, want string, got any) error {
	shown := kindOf(got)
	if s, ok := got.(string); ok {
		shown = quote(s)
	} else if n, ok := got.(json.Number); ok {
		shown = quote(n.String())
	}
	return invalidArgument(path, fmt.Sprintf("must be %s, not %s", want, shown))
}

func invalidArgument(path, message string) error {
	if path != "" {
		message = path + ": " + message
	}
	return &failure{public: Error{Code: CodeInvalidArguments, Stage: stageArguments, Message: message,
		Hint: "correct the argument and call again"}}
}

func kindOf(value any) string {
	switch value.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "an array"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	}
	return "null"
}

// quote shows a caller's text: bounded, control characters escaped.
func quote(s string) string {
	const limit = 80
	if len(s) > limit {
		return strconv.QuoteToASCII(s[:limit]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

// didYouMean is a hint that names the likely word and else the valid ones.
func didYouMean(word string, valid []string) string {
	if near := suggest.Closest(word, valid, 1); len(near) == 1 {
		return fmt.Sprintf("did you mean %s?", near[0])
	}
	return "valid: " + strings.Join(valid, ", ")
}

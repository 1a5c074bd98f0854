package dispatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"nsenter-mcp/internal/words"
)

// shape is an input struct as decoding sees it: worked out once, when a tool is
// declared, and read by many calls at once.
type shape []field

// field is one argument of an input struct.
type field struct {
	name  string
	index []int // of reflect.Value.FieldByIndex
	typ   reflect.Type
	inner shape // of the struct that the argument holds, directly or in a list or map

	optional        bool     // may be left out
	enum            []string // of the tag enum
	lowest, highest float64  // of the tags min and max
	bounded         bool
}

// shapeOf reads the fields of a struct type, those of embedded structs included.
func shapeOf(t reflect.Type) shape {
	var fields shape
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "" || name == "-" {
			continue
		}
		described := field{name: name, index: f.Index, typ: f.Type, optional: strings.Contains(options, "omitempty")}
		if allowed, ok := f.Tag.Lookup("enum"); ok {
			described.enum = strings.Split(allowed, ",")
		}
		described.lowest, described.highest, described.bounded = numberBounds(f.Tag)
		if held := heldBy(f.Type); held.Kind() == reflect.Struct {
			described.inner = shapeOf(held)
		}
		fields = append(fields, described)
	}
	return fields
}

// heldBy looks through pointers, lists and maps.
func heldBy(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return t
}

// numberBounds reads the tags min and max; both or none are given.
func numberBounds(tag reflect.StructTag) (lowest, highest float64, ok bool) {
	lowest, errLow := strconv.ParseFloat(tag.Get("min"), 64)
	highest, errHigh := strconv.ParseFloat(tag.Get("max"), 64)
	return lowest, highest, errLow == nil && errHigh == nil
}

// decode fills into, a pointer to a struct of this shape, from the JSON object
// raw. Names are strict: an unknown argument is an error that tells the likely
// one. Types are lenient, as models write them: "80" is 80, "A" is ["A"], "true"
// is true, 1.0 is 1, and null is absent. After an error, into is of no use.
func (s shape) decode(raw json.RawMessage, into any) error {
	tree, err := parseObject(raw)
	if err != nil {
		return err
	}
	return s.fill(reflect.ValueOf(into).Elem(), tree, "")
}

func parseObject(raw json.RawMessage) (map[string]any, error) {
	if trimmed := bytes.TrimSpace(raw); len(trimmed) == 0 || string(trimmed) == "null" {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, InvalidArgument("", "arguments are not JSON")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, InvalidArgument("", "arguments hold more than one JSON value")
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return nil, InvalidArgument("", "arguments must be a JSON object, not "+kindOf(tree))
	}
	return object, nil
}

func (s shape) fill(into reflect.Value, tree map[string]any, path string) error {
	// Sorted, so that the same mistake gives the same message.
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		value := tree[name]
		i := slices.IndexFunc(s, func(f field) bool { return f.name == name })
		if i < 0 {
			return s.unknownArgument(path, name)
		}
		if value == nil {
			continue
		}
		f := &s[i]
		at := into.FieldByIndex(f.index)
		if err := f.set(at, value, path+name); err != nil {
			return err
		}
		if f.optional && at.IsZero() {
			continue // models fill in what they do not need: family "", limit 0
		}
		if err := f.checkBounds(at, path+name); err != nil {
			return err
		}
	}
	return nil
}

// set converts value, decoded JSON, to the type of into and stores it there. path
// names the argument in messages.
func (f *field) set(into reflect.Value, value any, path string) error {
	switch into.Kind() {
	case reflect.Pointer:
		held := reflect.New(into.Type().Elem())
		into.Set(held)
		return f.set(held.Elem(), value, path)
	case reflect.Struct:
		object, ok := value.(map[string]any)
		if !ok {
			return f.wrongType(into.Type(), path, value)
		}
		return f.inner.fill(into, object, path+".")
	case reflect.Map:
		object, ok := value.(map[string]any)
		if !ok {
			return f.wrongType(into.Type(), path, value)
		}
		into.Set(reflect.MakeMapWithSize(into.Type(), len(object)))
		for name, v := range object {
			held := reflect.New(into.Type().Elem()).Elem()
			if err := f.set(held, v, path+"."+name); err != nil {
				return err
			}
			into.SetMapIndex(reflect.ValueOf(name), held)
		}
		return nil
	case reflect.Slice:
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		into.Set(reflect.MakeSlice(into.Type(), len(list), len(list)))
		for i, v := range list {
			if err := f.set(into.Index(i), v, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		return nil
	}
	if !setScalar(into, value) {
		return f.wrongType(into.Type(), path, value)
	}
	return nil
}

// setScalar reports whether value is one that the type of into can be.
func setScalar(into reflect.Value, value any) (ok bool) {
	switch into.Kind() {
	case reflect.Bool:
		truth, ok := toBool(value)
		into.SetBool(truth)
		return ok
	case reflect.String:
		text, ok := toString(value)
		into.SetString(text)
		return ok
	case reflect.Float32, reflect.Float64:
		number, ok := toNumber(value)
		into.SetFloat(number)
		return ok
	default: // the integer kinds; inputSchema admits no others
		return setInteger(into, value)
	}
}

func toBool(value any) (truth, ok bool) {
	switch v := value.(type) {
	case bool:
		return v, true
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true", "yes", "1":
			return true, true
		case "false", "no", "0":
			return false, true
		}
	case json.Number:
		return v == "1", v == "1" || v == "0"
	}
	return false, false
}

func toString(value any) (text string, ok bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

func toNumber(value any) (number float64, ok bool) {
	text, _ := numeral(value)
	number, err := strconv.ParseFloat(text, 64)
	return number, err == nil && !math.IsInf(number, 0) && !math.IsNaN(number)
}

// setInteger stores a whole number, however it is written. "1.0" and "1e3" are
// whole numbers too, and "+5" and "007", which are none of JSON.
func setInteger(into reflect.Value, value any) (ok bool) {
	text, _ := numeral(value)
	// Above 2^53 a float is no longer exact.
	if number, ok := toNumber(value); ok && number == math.Trunc(number) && math.Abs(number) <= 1<<53 {
		text = strconv.FormatInt(int64(number), 10)
	}
	if into.CanUint() {
		n, err := strconv.ParseUint(strings.TrimPrefix(text, "+"), 10, into.Type().Bits())
		into.SetUint(n)
		return err == nil
	}
	n, err := strconv.ParseInt(text, 10, into.Type().Bits())
	into.SetInt(n)
	return err == nil
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

// checkBounds holds a stored value, or each one of a list, against the tags enum,
// min and max, which inputSchema publishes.
func (f *field) checkBounds(at reflect.Value, path string) error {
	switch {
	case f.enum == nil && !f.bounded:
		return nil
	case at.Kind() == reflect.Pointer:
		return f.checkBounds(at.Elem(), path)
	case at.Kind() == reflect.Slice:
		for i := range at.Len() {
			if err := f.checkBounds(at.Index(i), path); err != nil {
				return err
			}
		}
		return nil
	case f.bounded:
		if number := numberOf(at); number < f.lowest || number > f.highest {
			return f.outOfRange(at.Type(), path, fmt.Sprint(at))
		}
		return nil
	}
	given := at.String() // addBounds admits enum on strings only
	if slices.Contains(f.enum, given) {
		return nil
	}
	return &Error{
		Code: CodeInvalidArguments, Stage: StageArguments,
		Message: fmt.Sprintf("%s is %s; it must be one of %s", path, words.Quote(given), strings.Join(f.enum, ", ")),
		Hint:    words.DidYouMean(given, f.enum),
		Details: ErrorDetails{Valid: f.enum},
	}
}

func numberOf(v reflect.Value) float64 {
	switch {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	}
	return v.Float()
}

func (s shape) unknownArgument(path, name string) error {
	valid := make([]string, len(s))
	for i, f := range s {
		valid[i] = f.name
	}
	return &Error{
		Code: CodeUnknownArgument, Stage: StageArguments,
		Message: "unknown argument " + words.Quote(path+name),
		Hint:    hintFor(name, valid),
		Details: ErrorDetails{Valid: valid},
	}
}

// hintFor: an address names a target too, but only one tool looks for it.
func hintFor(name string, valid []string) string {
	if name == "ip" {
		return "call resolve_pod_pid with ip first, then name the target as it does under next"
	}
	return words.DidYouMean(name, valid)
}

// wrongType is the error of a value that an argument of type t cannot be.
func (f *field) wrongType(t reflect.Type, path string, got any) error {
	kind, bounds := f.wanted(t)
	shown := kindOf(got)
	text, isText := numeral(got)
	if isText {
		shown = words.Quote(text)
	}
	number, isNumber := toNumber(got)
	_, err := strconv.ParseFloat(text, 64)
	if isWhole := isNumber && number == math.Trunc(number) || errors.Is(err, strconv.ErrRange); isWhole && bounds != "" {
		return f.outOfRange(t, path, strings.Trim(shown, `"`))
	}
	failure := invalidArgument(path, fmt.Sprintf("must be %s, not %s", kind, shown))
	failure.Hint = fmt.Sprintf("send %s as %s", path, strings.TrimSpace(kind+" "+bounds))
	if d, err := time.ParseDuration(strings.ToLower(text)); err == nil && strings.HasSuffix(f.name, "_ms") {
		failure.Hint = fmt.Sprintf("milliseconds: %d", d.Milliseconds())
	}
	return failure
}

func (f *field) outOfRange(t reflect.Type, path, number string) error {
	kind, bounds := f.wanted(t)
	failure := invalidArgument(path, number+" is not "+bounds)
	failure.Hint = fmt.Sprintf("send %s as %s %s", path, kind, bounds)
	return failure
}

// wanted says what an argument of type t can be; bounds is empty where there are none.
func (f *field) wanted(t reflect.Type) (kind, bounds string) {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false", ""
	case reflect.Struct, reflect.Map:
		return "an object", ""
	case reflect.String:
		if f.enum != nil {
			return "one of " + strings.Join(f.enum, ", "), ""
		}
		return "a string", ""
	case reflect.Float32, reflect.Float64:
		kind = "a number"
	default:
		kind = "a whole number"
		size := t.Bits()
		bounds = fmt.Sprintf("between %d and %d", int64(-1)<<(size-1), int64(1)<<(size-1)-1)
		if t.Kind() >= reflect.Uint {
			bounds = fmt.Sprintf("between 0 and %d", ^uint64(0)>>(64-size))
		}
	}
	if f.bounded {
		bounds = fmt.Sprintf("between %s and %s", digits(f.lowest), digits(f.highest))
	}
	return kind, bounds
}

func digits(number float64) string { return strconv.FormatFloat(number, 'f', -1, 64) }

// InvalidArgument is the error of an argument that cannot be taken; path names it.
func InvalidArgument(path, message string) error { return invalidArgument(path, message) }

func invalidArgument(path, message string) *Error {
	hint := `send the arguments as one JSON object, as in {"pod": "shop/web-0"}`
	if path != "" {
		message, hint = path+": "+message, "send another "+path
	}
	return &Error{Code: CodeInvalidArguments, Stage: StageArguments, Message: message, Hint: hint}
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

package dispatch

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

type sampleArgs struct {
	TargetArgs
	Names  []string          `json:"names,omitempty"`
	Port   int               `json:"port,omitempty" min:"1" max:"65535"`
	Ratio  float64           `json:"ratio,omitempty"`
	Deep   bool              `json:"deep,omitempty"`
	Family string            `json:"family,omitempty" enum:"inet,inet6"`
	Header map[string]string `json:"header,omitempty"`
	Inner  *struct {
		Size uint8 `json:"size,omitempty"`
	} `json:"inner,omitempty"`
}

func sampleShape() shape { return shapeOf(reflect.TypeFor[sampleArgs]()) }

func TestDecodeIsLenientInTypes(t *testing.T) {
	t.Parallel()
	pid := 80
	tests := []struct {
		name, raw string
		want      sampleArgs
	}{
		{"nothing", ``, sampleArgs{}},
		{"null", `null`, sampleArgs{}},
		{"null values are absent", `{"pod":null,"port":null,"inner":null}`, sampleArgs{}},
		{"empty and zero of what may be left out are absent", `{"family":"","port":0,"timeout_ms":0,"expect":0,"pod":""}`, sampleArgs{}},
		{"a number as text", `{"port":"80"}`, sampleArgs{Port: 80}},
		{"a number with a fraction of zero", `{"port":80.0}`, sampleArgs{Port: 80}},
		{"a number with an exponent", `{"port":8e1}`, sampleArgs{Port: 80}},
		{"a number as people write it", `{"port":" +080 "}`, sampleArgs{Port: 80}},
		{"a pointer", `{"pid":"80"}`, sampleArgs{TargetArgs: TargetArgs{PID: &pid}}},
		{"text as a number", `{"pod":80}`, sampleArgs{TargetArgs: TargetArgs{Pod: "80"}}},
		{"one element as a list", `{"names":"A"}`, sampleArgs{Names: []string{"A"}}},
		{"a list", `{"names":["A",1]}`, sampleArgs{Names: []string{"A", "1"}}},
		{"truth as text", `{"deep":"True"}`, sampleArgs{Deep: true}},
		{"truth as a number", `{"deep":1}`, sampleArgs{Deep: true}},
		{"a ratio as text", `{"ratio":"0.5"}`, sampleArgs{Ratio: 0.5}},
		{"a large cookie loses no digit", `{"expect":18446744073709551615}`, sampleArgs{TargetArgs: TargetArgs{Expect: 1<<64 - 1}}},
		{"a map", `{"header":{"A":1}}`, sampleArgs{Header: map[string]string{"A": "1"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got sampleArgs
			if err := sampleShape().decode(json.RawMessage(test.raw), &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestDecodeSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, raw, code, message, hint string
	}{
		{"no JSON", `{`, CodeInvalidArguments, "arguments are not JSON", "as one JSON object"},
		{"two values", `{} {}`, CodeInvalidArguments, "more than one JSON value", ""},
		{"a list", `[1]`, CodeInvalidArguments, "must be a JSON object, not an array", ""},
		{"a misspelt name", `{"namepsace":"x"}`, CodeUnknownArgument, `unknown argument "namepsace"`, "did you mean namespace?"},
		{"a name like no other", `{"frobnicate":1}`, CodeUnknownArgument, `"frobnicate"`, "valid: pod, namespace"},
		{"a nested name", `{"inner":{"siez":1}}`, CodeUnknownArgument, `"inner.siez"`, "did you mean size?"},
		{"text for a number", `{"port":"http"}`, CodeInvalidArguments, `port: must be a whole number, not "http"`, "send port as a whole number between 1 and 65535"},
		{"a fraction", `{"port":1.5}`, CodeInvalidArguments, `port: must be a whole number, not "1.5"`, ""},
		{"a huge exponent", `{"port":1e999999999}`, CodeInvalidArguments, "port: 1e999999999 is not between 1 and 65535", "send port as"},
		{"below the range", `{"port":-1}`, CodeInvalidArguments, "port: -1 is not between 1 and 65535", ""},
		{"above the range", `{"port":65536}`, CodeInvalidArguments, "not between 1 and 65535", "send port as a whole number between 1 and 65535"},
		{"far above the range", `{"port":99999999999999999999}`, CodeInvalidArguments, "port: 99999999999999999999 is not between 1 and 65535", ""},
		{"a duration for milliseconds", `{"timeout_ms":"3s"}`, CodeInvalidArguments, `timeout_ms: must be a whole number, not "3s"`, "milliseconds: 3000"},
		{"a duration for something else", `{"port":"3s"}`, CodeInvalidArguments, `not "3s"`, "send port as a whole number"},
		{"more than any number", `{"expect":1e20}`, CodeInvalidArguments, "expect: 1e20 is not between 0 and 18446744073709551615", ""},
		{"infinity", `{"port":"inf"}`, CodeInvalidArguments, `must be a whole number, not "inf"`, ""},
		{"a ratio beyond all", `{"ratio":1e999}`, CodeInvalidArguments, `ratio: must be a number, not "1e999"`, "send ratio as a number"},
		{"more than the type holds", `{"inner":{"size":256}}`, CodeInvalidArguments, "inner.size: 256 is not between 0 and 255", "send inner.size as a whole number between 0 and 255"},
		{"negative for unsigned", `{"expect":-1}`, CodeInvalidArguments, "expect: -1 is not between 0 and 18446744073709551615", ""},
		{"not one of the values", `{"family":"inet4"}`, CodeInvalidArguments, `family is "inet4"; it must be one of inet, inet6`, "did you mean inet?"},
		{"an object for text", `{"pod":{}}`, CodeInvalidArguments, "pod: must be a string, not an object", "send pod as a string"},
		{"text for an object", `{"inner":"x"}`, CodeInvalidArguments, `inner: must be an object, not "x"`, ""},
		{"a word for truth", `{"deep":"maybe"}`, CodeInvalidArguments, `deep: must be true or false, not "maybe"`, "send deep as true or false"},
		{"control characters are shown escaped", `{"a\u0007\u202e":1}`, CodeUnknownArgument, `"a\a\u202e"`, ""},
		{"a long name is cut", `{"` + strings.Repeat("x", 10000) + `":1}`, CodeUnknownArgument, `xxx"...`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got sampleArgs
			err := sampleShape().decode(json.RawMessage(test.raw), &got)
			var f *Error
			if !errors.As(err, &f) {
				t.Fatalf("got %v, want a failure", err)
			}
			if f.Code != test.code || !strings.Contains(f.Message, test.message) || !strings.Contains(f.Hint, test.hint) {
				t.Errorf("got %s: %s (%s), want %s: ...%s... (...%s...)", f.Code, f.Message, f.Hint, test.code, test.message, test.hint)
			}
			if len(f.Message) > 1000 {
				t.Errorf("message has %d bytes", len(f.Message))
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"pod":"a","port":"1"}`, `{"inner":{"size":1e2}}`, `{"names":[[]]}`, `{"port":1e308}`, `{"port":"+5"}`, `{"port":"007"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var args sampleArgs
		err := sampleShape().decode(raw, &args)
		var known *Error
		if err != nil && !errors.As(err, &known) {
			t.Errorf("decode(%q) = %v, which has no code", raw, err)
		}
		if args.Port < 0 || args.Port > 65535 {
			t.Errorf("decode(%q) let port %d through", raw, args.Port)
		}
	})
}

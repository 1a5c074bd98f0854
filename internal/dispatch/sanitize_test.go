package dispatch

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// An answer that needs no tempering passes as it was written.
func TestFarDataPassesAsItIs(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`{"b":1,"a":[1.50,true,null]}`, `{"b":1,"a":"x"}`, `{"untrusted":{"b":"\\x1b \"\n\u00e4"},"a":["/"]}`} {
		got, err := sanitize(&Envelope{Summary: "s", Data: json.RawMessage(data)})
		if err == nil {
			err = got.isolate()
		}
		if err != nil || string(got.Data.(json.RawMessage)) != data {
			t.Errorf("%s became %s, %v", data, got.Data, err)
		}
	}
}

// Whatever it is written like, it passes as one line of valid JSON without what
// hides.
func TestFarDataIsMadeSafe(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"white space":          "{\"a\":\t[1,\r\n 2]}",
		"not UTF-8":            "{\"a\":\"\xff\xfe\"}",
		"a name twice":         `{"a":"\u001b[31m\u202e","a":"ok"}`,
		"a name twice, raw":    "{\"a\":\"\u202e\",\"a\":\"\"}",
		"a name that hides":    `{"\u202e":1,"b":"ä"}`,
		"a name that is twice": "{\"\u202e\":1,\"\u202e\":2}",
	} {
		got, err := sanitize(&Envelope{Summary: "s", Data: json.RawMessage(data)})
		if err == nil {
			err = got.isolate()
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text := string(got.Data.(json.RawMessage))
		if !json.Valid([]byte(text)) || !utf8.ValidString(text) || strings.ContainsAny(text, "\t\r\n\u202e") || strings.Contains(text, `\u001b`) {
			t.Errorf("%s: %q became %q", name, data, text)
		}
	}
	if got, err := sanitize(&Envelope{Summary: "s", Data: json.RawMessage(`{"a":`)}); err == nil {
		t.Errorf("half an object became %s", got.Data)
	}
}

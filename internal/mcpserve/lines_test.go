package mcpserve

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLineReader(t *testing.T) {
	t.Parallel()
	const limit = 100_000 // above the buffer of bufio
	exact := strings.Repeat("a", limit)
	for _, c := range []struct {
		name, in string
		want     []string // "!" is a line that was too long
	}{
		{"empty", "", nil},
		{"one", "a\n", []string{"a"}},
		{"no last newline", "a\nb", []string{"a", "b"}},
		{"blank", "\n\n", []string{"", ""}},
		{"as long as allowed", exact + "\nb\n", []string{exact, "b"}},
		{"as long as allowed, last", exact, []string{exact}},
		{"one too long", exact + "a\nb\n", []string{"!", "b"}},
		{"much too long", strings.Repeat(exact, 7) + "\nb", []string{"!", "b"}},
		{"too long, last", exact + "aa", []string{"!"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for name, in := range map[string]io.Reader{
				"whole": strings.NewReader(c.in), "in pieces": iotest.HalfReader(strings.NewReader(c.in)),
			} {
				r := newLineReader(in, limit)
				var got []string
				for {
					line, err := r.next()
					var tooLong *lineTooLongError
					if errors.As(err, &tooLong) {
						line = []byte("!")
					} else if err != nil {
						if !errors.Is(err, io.EOF) {
							t.Fatal(err)
						}
						break
					}
					got = append(got, string(line))
				}
				if strings.Join(got, "|") != strings.Join(c.want, "|") {
					t.Errorf("%s: got %d lines, want %d", name, len(got), len(c.want))
				}
			}
		})
	}
}

func TestLineReaderPassesErrorsOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, text := range []string{"", "half a line", strings.Repeat("a", 1000)} {
		r := newLineReader(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), 100)
		if _, err := r.next(); !errors.Is(err, broken) {
			t.Errorf("%.10q: got %v", text, err)
		}
	}
}

// FuzzIDScanner holds the scanner against encoding/json.
func FuzzIDScanner(f *testing.F) {
	for _, s := range []string{
		`{"id":1}`, `{"a":"\"id\":2","id":"x\"y"}`, `{"a":{"id":1},"id":-2.5e3}`, `{"id":[1]}`, `{"id":{"id":3}}`,
		`{"a":[{"id":1}]}`, `[{"id":1}]`, `{"id":null}`, `{"id":1,"id":2}`, ` { "id" : 7 , "b" : 1 } `, `"id"`, `{"i\u0064":1}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var scan idScanner
		scan.write([]byte(s))
		if scan.id != nil && !json.Valid(scan.id) {
			t.Fatalf("%q: found %q", s, scan.id)
		}
		want, ok := idByDecoder([]byte(s))
		if !ok {
			return
		}
		if string(scan.id) != string(want) {
			t.Errorf("%q: got %q, want %q", s, scan.id, want)
		}
	})
}

// idByDecoder is the last member of the object s that is spelled "id" and can
// be an id; ok is false for what is no JSON object or would be read otherwise
// on purpose (an escaped name, an id too long).
func idByDecoder(s []byte) (id json.RawMessage, ok bool) {
	d := json.NewDecoder(bytes.NewReader(s))
	if open, err := d.Token(); err != nil || open != json.Delim('{') || !json.Valid(s) {
		return nil, false
	}
	for d.More() {
		start := d.InputOffset()
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		plain := bytes.HasSuffix(s[start:d.InputOffset()], []byte(`"id"`))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil || len(value) > maxIDBytes || name == "id" && !plain {
			return nil, false
		}
		if name == "id" && isID(value) {
			id = value
		}
	}
	return id, true
}

package mcpserve

import (
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

func TestIDOfALineThatIsTooLong(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("x", 200_000) + `"`
	for text, want := range map[string]string{
		`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"x":` + long + `}}`:             `7`,
		` { "id" : "a\"b" , "params":` + long + `}`:                                              `"a\"b"`,
		`{"method":"tools/call","params":{"id":1,"x":` + long + `},"jsonrpc":"2.0","id":-2.5e3}`: `-2.5e3`,
		`{"method":"tools/call","params":{"x":` + long + `},"id":"z","jsonrpc":"2.0"}` + "\r":    `"z"`,
		`{"method":"tools/call","params":{"x":` + long + `,"id":9}}`:                             ``,
		`{"params":{"id":9,"x":` + long + `}}`:                                                   ``,
		`{"id":null,"params":` + long + `}`:                                                      ``,
		`{"id":{"id":3},"params":` + long + `}`:                                                  ``,
		`{"params":"{\"id\":1,` + long[1:] + `}`:                                                 ``,
		`[{"id":1,"x":` + long + `}]`:                                                            ``,
		`{"id":1-,"x":` + long + `}`:                                                             ``,
		long:                                                                                     ``,
	} {
		r := newLineReader(strings.NewReader(text+"\n"), 100_000)
		_, err := r.next()
		var tooLong *lineTooLongError
		if !errors.As(err, &tooLong) || string(tooLong.id) != want {
			t.Errorf("%.60s...%s: %v, id %s, want %s", text, text[len(text)-20:], err, tooLong.id, want)
		}
	}
}

// Whatever is found is a valid id.
func FuzzIDNear(f *testing.F) {
	for _, s := range []string{`{"id":1}`, `{"a":"\"id\":2","id":"x\"y"}`, `{"a":1,"id":-2.5e3}`, `{"id":[1]}`, `{"id":1e}`, ` { "id" : 7 , "b" : 1 } `} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if id := idNear([]byte(s), []byte(s)); id != nil && (!json.Valid(id) || !isID(id)) {
			t.Errorf("%q: found %q", s, id)
		}
	})
}

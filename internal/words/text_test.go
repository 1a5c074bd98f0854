package words

import (
	"strings"
	"testing"
)

func TestWord(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"web-0.shop":             "web-0.shop",
		"a b\n\x1b[31m":          "a?b??[31m",
		"caf\u00e9\u202e":        "caf??",
		"\xff":                   "?",
		strings.Repeat("x", 300): strings.Repeat("x", 253),
	} {
		if got := Printable(in); got != want {
			t.Errorf("word(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestEscape(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain text, caf\u00e9\n": "plain text, caf\u00e9\n",
		"\x1b[31mred\x00":         `\x1b[31mred\x00`,
		"abc\u202edcb\u2066":      `abc\u202edcb\u2066`,
		"bad \xff\xfe bytes":      `bad \xff\xfe bytes`,
		"a replacement \ufffd is": "a replacement \ufffd is",
		"zero\u200bwidth":         `zero\u200bwidth`,
	} {
		if got := Escape(in); got != want {
			t.Errorf("escape(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("a\x1b[0m\u202e\xff")
	f.Fuzz(func(t *testing.T, in string) {
		for _, r := range Escape(in) {
			if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || (r >= 0x80 && r < 0xa0) || (r >= 0x202a && r <= 0x202e) {
				t.Errorf("escape(%q) lets %U through", in, r)
			}
		}
	})
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "a": "a", "a\n b \r\n\nc\n": "a; b; c", "\n": ""} {
		if got := OneLine(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

package words

import (
	"testing"
	"unicode/utf8"
)

func TestEscape(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain text, caf\u00e9\n": "plain text, caf\u00e9\n",
		"\x1b[31mred\x00":         `\x1b[31mred\x00`,
		"abc\u202edcb\u2066":      `abc\u202edcb\u2066`,
		"bad \xff\xfe bytes":      `bad \xff\xfe bytes`,
		"a replacement \ufffd is": "a replacement \ufffd is",
		"zero\u200bwidth":         `zero\u200bwidth`,
		"caf\u0065\u0301":         "caf\u0065\u0301",
		"hangul \u3164\u115f":     `hangul \u3164\u115f`,
		"hangul \u1160\uffa0":     `hangul \u1160\uffa0`,
		"joiner \u034f":           `joiner \u034f`,
		"braille \u2800\u2801":    "braille \\u2800\u2801",
		"\ufe0f \U000e01ee":       `\ufe0f \U000e01ee`,
		"tag \U000e0041":          `tag \U000e0041`,
		"\u17b4\u180b\u2060":      `\u17b4\u180b\u2060`,
		"\U0001d173\U000e0fff":    `\U0001d173\U000e0fff`,
		"no\u00a0break\u2028":     `no\u00a0break\u2028`,
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
			if r != '\n' && r != '\t' && r != utf8.RuneError && !Visible(r) {
				t.Errorf("escape(%q) lets %U through", in, r)
			}
		}
		if once := Escape(in); Escape(once) != once {
			t.Errorf("%q is escaped twice", once)
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

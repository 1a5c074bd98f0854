package words

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable makes a name that a runtime reports fit to stand in our own sentences:
// bounded, and without anything that is no letter, digit or punctuation of
// plain text.
func Printable(name string) string {
	const limit = 253
	if len(name) > limit {
		name = name[:limit]
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r > unicode.MaxASCII || !unicode.IsPrint(r) || r == ' ' {
			return '?'
		}
		return r
	}, name)
}

// Escape makes free text of a container or a network fit to be shown: control
// characters, ANSI sequences and marks that change the reading direction become
// visible escapes, and bytes that are no UTF-8 become \xNN.
func Escape(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				fmt.Fprintf(&b, `\x%02x`, text[i])
				continue
			}
			b.WriteRune(r)
		case r == '\n' || r == '\t' || (unicode.IsPrint(r) && !unicode.Is(unicode.Bidi_Control, r)):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteToASCII(string(r)), `"`))
		}
	}
	return b.String()
}

// OneLine puts lines behind each other: those of joined errors, and of what runtimes
// and APIs say.
func OneLine(s string) string {
	lines := strings.FieldsFunc(s, func(c rune) bool { return c == '\n' || c == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return l == "" }), "; ")
}

// Plural writes a count with its noun.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// Quote shows a caller's text: bounded, control characters escaped.
func Quote(s string) string {
	const limit = 80
	if len(s) > limit {
		return strconv.QuoteToASCII(s[:limit]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

// DidYouMean is a hint that names the likely word and else the valid ones.
func DidYouMean(word string, valid []string) string {
	if near := Closest(word, valid, 1); len(near) == 1 {
		return fmt.Sprintf("did you mean %s?", near[0])
	}
	return "valid: " + strings.Join(valid, ", ")
}

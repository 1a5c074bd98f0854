package tools

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// word makes a name that a runtime reports fit to stand in our own sentences:
// bounded, and without anything that is no letter, digit or punctuation of
// plain text.
func word(name string) string {
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

// escape makes free text of a container or a network fit to be shown: control
// characters, ANSI sequences and marks that change the reading direction become
// visible escapes, and bytes that are no UTF-8 become \xNN.
func escape(text string) string {
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

// plural writes a count with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

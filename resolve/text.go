package resolve

import (
	"slices"
	"strings"
	"unicode"
)

// text makes what somebody else wrote safe to show: one line, at most 200 bytes.
func text(s string) string { return textUpTo(s, 200) }

// oneLine puts lines behind each other: those of joined errors, and of what runtimes
// and APIs say.
func oneLine(s string) string {
	lines := strings.FieldsFunc(s, func(c rune) bool { return c == '\n' || c == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return l == "" }), "; ")
}

// textUpTo is text with another limit, in bytes.
func textUpTo(s string, limit int) string {
	s = strings.Map(func(c rune) rune {
		if !unicode.IsGraphic(c) || c == unicode.ReplacementChar {
			return ' '
		}
		return c
	}, s[:min(len(s), limit)])
	return strings.TrimSpace(s)
}

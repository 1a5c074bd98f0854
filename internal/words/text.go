package words

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

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

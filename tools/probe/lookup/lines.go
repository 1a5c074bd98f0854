package lookup

import (
	"iter"
	"strings"
)

// lines yields the lines of a file with their numbers from 1, without the line
// end. A line is cut at its first NUL: the libraries' functions on C strings see
// no further.
func lines(data []byte) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		rest := string(data)
		for number := 1; rest != ""; number++ {
			var line string
			line, rest, _ = strings.Cut(rest, "\n")
			line, _, _ = strings.Cut(line, "\x00")
			if !yield(number, line) {
				return
			}
		}
	}
}

// blank is what separates words in resolv.conf.
func blank(c rune) bool { return c == ' ' || c == '\t' }

// space is isspace(3) of the C locale.
func space(c rune) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// strtol reads the number at the start of s as strtol(3) does: blanks, a sign,
// digits, anything. No digits are 0; the value is bounded, which is as good as
// any beyond all limits of the options that it is for.
func strtol(s string) int {
	const bound = 1 << 20
	s = strings.TrimLeftFunc(s, space)
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	value := 0
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		value = min(value*10+int(s[i]-'0'), bound)
	}
	if negative {
		return -value
	}
	return value
}

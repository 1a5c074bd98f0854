package words

import (
	"slices"
	"testing"
)

func TestWrap(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                  {""},
		"one two  three":    {"one two", "three"},
		"longer-than-width": {"longer-than-width"},
		"a b\nc":            {"a b c"},
	} {
		if got := Wrap(text, 8); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

package words

import (
	"slices"
	"testing"
)

func TestClosest(t *testing.T) {
	t.Parallel()
	arguments := []string{"pod", "namespace", "container", "pid", "netns", "timeout_ms", "expect", "details"}
	tests := []struct {
		name, word string
		want       []string
	}{
		{"swapped letters", "namepsace", []string{"namespace"}},
		{"one letter short", "netn", []string{"netns"}},
		{"part of a word", "timeout", []string{"timeout_ms"}},
		{"a word around it", "pod_name", []string{"pod"}},
		{"other separators and case", "Timeout-MS", []string{"timeout_ms"}},
		{"two as near as each other keep their order", "pi", []string{"pid"}},
		{"nothing near", "frobnicate", []string{}},
		{"empty", "", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := Closest(test.word, arguments, 2); !slices.Equal(got, test.want) {
				t.Errorf("Closest(%q) = %q, want %q", test.word, got, test.want)
			}
		})
	}
}

func TestClosestIsBounded(t *testing.T) {
	t.Parallel()
	long := string(make([]byte, 1<<20))
	if got := Closest(long, []string{"pod", long}, 1); len(got) > 1 {
		t.Errorf("got %d words, want at most 1", len(got))
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"pod", "pod", 0},
	}
	for _, test := range tests {
		if got := Distance([]rune(test.a), []rune(test.b)); got != test.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

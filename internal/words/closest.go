package words

import (
	"cmp"
	"slices"
	"strings"
)

// maxRunes bounds the words compared, as the work grows with their product;
// longer words are compared by their beginning.
const maxRunes = 128

// Closest returns at most limit of the valid words, nearest first: those that
// differ from word in few letters, or that hold it, or that it holds. Case,
// '-' and '_' do not count. It returns none when nothing is near.
func Closest(word string, valid []string, limit int) []string {
	type near struct {
		word     string
		distance int
	}
	folded := fold(word)
	if len(folded) == 0 {
		return nil
	}
	var found []near
	for _, v := range valid {
		candidate := fold(v)
		d := Distance(folded, candidate)
		switch {
		case d <= max(1, len(folded)/3):
		case contains(candidate, folded) || contains(folded, candidate):
			d = len(folded) + d // after all mistyped ones
		default:
			continue
		}
		found = append(found, near{v, d})
	}
	slices.SortStableFunc(found, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	words := make([]string, 0, min(limit, len(found)))
	for _, n := range found[:min(limit, len(found))] {
		words = append(words, n.word)
	}
	return words
}

// contains reports whether short stands in long and is long enough for that to
// mean something.
func contains(long, short []rune) bool {
	return len(short) >= 3 && strings.Contains(string(long), string(short))
}

func fold(s string) []rune {
	s = strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s))
	r := []rune(s)
	return r[:min(len(r), maxRunes)]
}

// Distance is the number of insertions, deletions, replacements and swaps of
// neighbours between a and b (optimal string alignment).
func Distance(a, b []rune) int {
	// Three rows of the usual table: i-2, i-1 and i.
	before, previous, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(previous[j]+1, row[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, previous, row = previous, row, before
	}
	return previous[len(b)]
}

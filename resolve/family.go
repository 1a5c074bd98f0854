package resolve

import (
	"errors"
	"slices"
)

// kin is a [Source] that is one of several which look for the same sort of thing
// in different places. Mostly one of them is there at most, so those that are
// not are passed over, or spoken of as one.
type kin interface {
	Source
	family() string
}

// familyOf is the family of a source, "" for one that has none.
func familyOf(s Source) string {
	if k, ok := s.(kin); ok {
		return k.family()
	}
	return ""
}

// absentError is an [ErrAbsent] of a source that has found nothing at all, not
// even something that it could not use.
type absentError struct{ what string }

func (e *absentError) Error() string { return e.what + ": " + ErrAbsent.Error() }
func (*absentError) Unwrap() error   { return ErrAbsent }

// membership says of a step or a state whether its source is one of a family, and
// whether it is not there.
type membership struct {
	family string
	absent bool
}

func membershipOf(s Source, err error) membership {
	var absent *absentError
	return membership{family: familyOf(s), absent: errors.As(err, &absent)}
}

// foldFamilies removes what absent sources have to say, except for the first of
// a family none of which is there. which tells of an entry its source's
// membership and what was asked; rename gives the one that stays the family's
// name.
func foldFamilies[T any](all []T, which func(*T) (membership, string), rename func(e *T, family string)) []T {
	type key struct{ family, what string }
	here, said := map[string]bool{}, map[key]bool{}
	for i := range all {
		if m, _ := which(&all[i]); !m.absent {
			here[m.family] = true
		}
	}
	kept := all[:0]
	for i := range all {
		e := all[i]
		if m, what := which(&e); m.family != "" && m.absent {
			k := key{m.family, what}
			if here[m.family] || said[k] {
				continue
			}
			said[k] = true
			rename(&e, m.family)
		}
		kept = append(kept, e)
	}
	return slices.Clip(kept)
}

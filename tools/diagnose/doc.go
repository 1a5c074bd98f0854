// Package diagnose judges facts: rules take what was measured and return what
// it proves. A rule is a pure function and one line in a table; nothing here
// measures, waits or keeps anything.
//
// A rule reports only what its evidence proves: a false alarm is as bad as a
// miss. What was not measured (a nil pointer in a fact) proves nothing.
package diagnose

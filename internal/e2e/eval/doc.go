// Package eval measures how far the answers lead by themselves: pods with one
// fault each, and healthy ones, are walked by following only what each answer
// proposes in next, from the one question that a user would ask. What counts is
// whether the cause is found, nothing wrong is claimed on the way, and how many
// calls and bytes it takes.
//
// `make eval` prints the table and records it in docs/eval.md; `make e2e` fails
// on a miss (build tag e2e). The faults are made in namespaces of the run, and
// the server is the built program as a client starts it.
package eval

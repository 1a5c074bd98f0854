//go:build race

package main

// patience is how many times its deadline a call may take, on a machine that is
// busy with other tests, and under the race detector.
const patience = 15

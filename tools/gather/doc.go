// Package gather fetches the evidence that more than one tool needs of a target:
// its application's environment and files, how its names are looked up, which
// destinations are its own, and whose network owns an address. It judges nothing
// and knows nothing of tools.
package gather

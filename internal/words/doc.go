// Package words holds how text is written, for every room: counts with their
// nouns, quoted and escaped text of others, and the valid word that a mistyped
// one was probably meant to be. Its functions are pure.
package words

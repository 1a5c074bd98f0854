// Package fact holds plain types for what can be known of a network: links,
// addresses, and the findings drawn from them. Package probe fills them in,
// package diagnose judges them, package tools prints them. Nothing here does
// anything, so every package may import it and it imports none of ours.
//
// Names and types in JSON are those of the tool a Linux engineer would have
// used (iproute2). A field that is absent was not measured or does not exist
// there; false and 0 were measured.
package fact

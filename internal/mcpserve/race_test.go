//go:build race

package mcpserve

const raceEnabled = true

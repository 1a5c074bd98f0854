//go:build !linux

package journey

import (
	"errors"

	"nsenter-mcp/tools/fact"
)

// Tracer makes recordings, on Linux.
type Tracer struct{}

// Recording is one flow that is being watched.
type Recording struct{}

// Start fails: other systems give no trail.
func (*Tracer) Start(Flow) (*Recording, error) {
	return nil, &UnavailableError{errors.ErrUnsupported}
}

// Check fails like Start.
func (t *Tracer) Check() error {
	_, err := t.Start(Flow{})
	return err
}

// Stop ends the recording.
func (*Recording) Stop() fact.Journey { return fact.Journey{} }

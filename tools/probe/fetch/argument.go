package fetch

import "fmt"

// ArgumentError says which field of a request cannot be used, and why.
type ArgumentError struct {
	Field   string // as in the tool's arguments: "url", "resolve"
	Message string
	Hint    string // what would do; may be ""
}

func (e *ArgumentError) Error() string { return e.Field + ": " + e.Message }

func badArgument(field, format string, args ...any) error {
	return &ArgumentError{Field: field, Message: fmt.Sprintf(format, args...)}
}

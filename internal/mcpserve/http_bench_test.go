package mcpserve

import (
	"net/http"
	"testing"
)

// BenchmarkHTTPCall is a call of a tool that does nothing, by one client that
// keeps its connection.
func BenchmarkHTTPCall(b *testing.B) {
	s := serveHTTP(b, &fakeDispatcher{}, nil)
	for _, e := range s.eras() {
		b.Run(e.name, func(b *testing.B) {
			s := s.with(b)
			for b.Loop() {
				if got := s.do(s.call(e, "1", "echo", "{}")); got.status != http.StatusOK {
					b.Fatal(got.status)
				}
			}
		})
	}
}

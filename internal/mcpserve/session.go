package mcpserve

import (
	"sync/atomic"

	"github.com/mark3labs/mcp-go/mcp"
)

// notificationBuffer is how many notifications may wait for the output before
// mcp-go drops the next one. They are progress, which is worth little late.
const notificationBuffer = 100

// session is the client of one pair of streams, as mcp-go wants to see it. The
// library's own is a package variable, so that a process could serve one pair
// only.
type session struct {
	notifications chan mcp.JSONRPCNotification
	initialized   atomic.Bool
}

func newSession() *session {
	return &session{notifications: make(chan mcp.JSONRPCNotification, notificationBuffer)}
}

func (s *session) SessionID() string { return "stdio" }
func (s *session) Initialize()       { s.initialized.Store(true) }
func (s *session) Initialized() bool { return s.initialized.Load() }

func (s *session) NotificationChannel() chan<- mcp.JSONRPCNotification { return s.notifications }

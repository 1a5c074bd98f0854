package mcpserve

import (
	"crypto/rand"
	"errors"
	"sync"
	"time"
)

// sessions are those that clients opened with initialize. Their number is
// bounded, so that clients that never end theirs cost nothing in the long run.
type sessions struct {
	max  int
	idle time.Duration
	now  func() time.Time

	mu   sync.Mutex
	byID map[string]*httpSession
}

func newSessions(limit int, idle time.Duration) *sessions {
	return &sessions{max: limit, idle: idle, now: time.Now, byID: map[string]*httpSession{}}
}

// httpSession is what the server knows of one session.
type httpSession struct {
	id      string // visible ASCII, 128 bits that nobody can guess
	caller  string // nobody else may use it
	version string // of the protocol, as negotiated
	used    time.Time

	inflight inflight
}

func newHTTPSession(caller string) *httpSession {
	return &httpSession{id: rand.Text(), caller: caller}
}

// errSessionEnded is the cause of a request's end when its session ends.
var errSessionEnded = errors.New("the session has ended")

// add makes a session usable. It reports false where all sessions are in use.
func (s *sessions) add(n *httpSession) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	n.used = now
	var oldest *httpSession
	for _, other := range s.byID {
		switch {
		case other.inflight.count() > 0:
		case now.Sub(other.used) >= s.idle:
			delete(s.byID, other.id)
		case oldest == nil || other.used.Before(oldest.used):
			oldest = other
		}
	}
	if len(s.byID) >= s.max {
		if oldest == nil {
			return false
		}
		delete(s.byID, oldest.id)
	}
	s.byID[n.id] = n
	return true
}

// find returns the caller's session with that id, nil if there is none, and
// counts as its use.
func (s *sessions) find(id, caller string) *httpSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.byID[id]
	if found == nil || found.caller != caller {
		return nil
	}
	now := s.now()
	if now.Sub(found.used) >= s.idle && found.inflight.count() == 0 {
		delete(s.byID, id)
		return nil
	}
	found.used = now
	return found
}

// end forgets a session and cancels its requests.
func (s *sessions) end(gone *httpSession) {
	s.mu.Lock()
	delete(s.byID, gone.id)
	s.mu.Unlock()
	gone.inflight.cancelAll(errSessionEnded)
}

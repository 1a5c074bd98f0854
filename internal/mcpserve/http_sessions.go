package mcpserve

import (
	"crypto/rand"
	"errors"
	"sync"
)

// sessions are those that clients opened with initialize. Their number is
// bounded, so that clients that never end theirs cost nothing in the long run. A
// session is an id and a map, and has no other end: agents sleep over night, and many
// clients do not recover from a session that is gone.
type sessions struct {
	max int

	mu   sync.Mutex
	uses uint64
	byID map[string]*httpSession
}

func newSessions(limit int) *sessions {
	return &sessions{max: limit, byID: map[string]*httpSession{}}
}

// httpSession is what the server knows of one session.
type httpSession struct {
	id      string // visible ASCII, 128 bits that nobody can guess
	caller  string // nobody else may use it
	version string // of the protocol, as negotiated
	used    uint64 // sessions.uses at its last use

	inflight inflight
}

func newHTTPSession(caller string) *httpSession {
	return &httpSession{id: rand.Text(), caller: caller}
}

// errSessionEnded is the cause of a request's end when its session ends.
var errSessionEnded = errors.New("the session has ended")

// add makes a session usable; the one unused for longest makes room. It reports false
// where all sessions are in use.
func (s *sessions) add(n *httpSession) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest *httpSession
	for _, other := range s.byID {
		if other.inflight.count() == 0 && (oldest == nil || other.used < oldest.used) {
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
	s.use(n)
	return true
}

func (s *sessions) use(n *httpSession) {
	s.uses++
	n.used = s.uses
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
	s.use(found)
	return found
}

// end forgets a session and cancels its requests.
func (s *sessions) end(gone *httpSession) {
	s.mu.Lock()
	delete(s.byID, gone.id)
	s.mu.Unlock()
	gone.inflight.cancelAll(errSessionEnded)
}

package mcpserve

import (
	"crypto/rand"
	"errors"
	"slices"
	"sync"
)

// sessions are those that clients opened with initialize. Their number is
// bounded, so that clients that never end theirs cost nothing in the long run. A
// session is an id and a map, and has no other end: agents sleep over night, and many
// clients do not recover from a session that is gone.
type sessions struct {
	max int

	mu   sync.Mutex
	list []*httpSession // the one unused for longest is the first
}

// httpSession is what the server knows of one session.
type httpSession struct {
	id      string // visible ASCII, 128 bits that nobody can guess
	caller  string // nobody else may use it
	version string // of the protocol, as negotiated

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
	if len(s.list) >= s.max {
		idle := slices.IndexFunc(s.list, func(o *httpSession) bool { return o.inflight.isEmpty() })
		if idle < 0 {
			return false
		}
		s.list = slices.Delete(s.list, idle, idle+1)
	}
	s.list = append(s.list, n)
	return true
}

// find returns the caller's session with that id, nil if there is none, and
// counts as its use.
func (s *sessions) find(id, caller string) *httpSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.list, func(o *httpSession) bool { return o.id == id && o.caller == caller })
	if i < 0 {
		return nil
	}
	found := s.list[i]
	s.list = append(slices.Delete(s.list, i, i+1), found)
	return found
}

// end forgets a session and cancels its requests.
func (s *sessions) end(gone *httpSession) {
	s.mu.Lock()
	s.list = slices.DeleteFunc(s.list, func(o *httpSession) bool { return o == gone })
	s.mu.Unlock()
	gone.inflight.cancelAll(errSessionEnded)
}

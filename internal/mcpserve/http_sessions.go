package mcpserve

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
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
	id     string // visible ASCII, 128 bits that nobody can guess
	caller string // nobody else may use it
	used   time.Time

	inflight inflight
	level    atomic.Value // mcp.LoggingLevel

	mu       sync.Mutex
	lastAsk  int64
	awaiting map[int64]chan<- clientAnswer // by the id of our request
}

// clientAnswer is a client's response to a request of ours.
type clientAnswer struct {
	result json.RawMessage
	err    error
}

func newHTTPSession(caller string) *httpSession {
	return &httpSession{id: rand.Text(), caller: caller, awaiting: map[int64]chan<- clientAnswer{}}
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

// expect makes an id for a request to the client, and a channel for the answer
// to it. The caller calls done when it waits no longer.
func (s *httpSession) expect() (id int64, answer <-chan clientAnswer, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastAsk++
	id = s.lastAsk
	c := make(chan clientAnswer, 1)
	s.awaiting[id] = c
	return id, c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.awaiting, id)
	}
}

// deliver hands the client's response m to whoever awaits it; others are
// dropped.
func (s *httpSession) deliver(m message) {
	var response struct {
		ID     int64           `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(m.raw, &response) != nil {
		return
	}
	answer := clientAnswer{result: response.Result}
	if response.Error != nil {
		answer.err = errors.New("the client answered: " + clip(response.Error.Message))
	}
	s.mu.Lock()
	c := s.awaiting[response.ID]
	delete(s.awaiting, response.ID) // the first answer counts
	s.mu.Unlock()
	if c != nil {
		c <- answer
	}
}

func (s *httpSession) setLevel(level mcp.LoggingLevel) { s.level.Store(level) }

// logLevel is the least level of messages that the client wants; error, until
// it says more.
func (s *httpSession) logLevel() mcp.LoggingLevel {
	if level, ok := s.level.Load().(mcp.LoggingLevel); ok {
		return level
	}
	return mcp.LoggingLevelError
}

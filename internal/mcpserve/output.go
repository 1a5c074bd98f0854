package mcpserve

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
)

// output writes messages, one a line.
type output struct {
	w       io.Writer
	writing chan struct{} // held by who writes, so that lines never mix
	broken  bool          // a write has failed, perhaps half-way; guarded by writing
	idle    sync.Pool     // *[]byte, for lines that send writes
	// last are replies that must not overtake the notifications of their calls.
	last          chan []byte
	notifications <-chan mcp.JSONRPCNotification
	failed        chan error    // the first failure of those who write besides run
	done          chan struct{} // closed when run has ended
	err           error         // why, valid once done is closed
}

func newOutput(w io.Writer, notifications <-chan mcp.JSONRPCNotification) *output {
	return &output{
		w: w, writing: make(chan struct{}, 1), last: make(chan []byte), notifications: notifications,
		failed: make(chan error, 1), done: make(chan struct{}),
	}
}

// send writes a reply. While the client does not read it blocks, until giveUp
// is closed or run has ended; the reply is lost then, unless a part of it was
// written before.
func (o *output) send(reply mcp.JSONRPCMessage, giveUp <-chan struct{}) {
	room, _ := o.idle.Get().(*[]byte)
	if room == nil {
		room = new([]byte)
	}
	line := append(appendReply((*room)[:0], reply), '\n')
	if err := o.write(line, giveUp); err != nil {
		select {
		case o.failed <- err:
		default: // not the first
		}
	}
	if cap(line) <= maxIdleLine {
		*room = line
		o.idle.Put(room)
	}
}

// maxIdleLine bounds the memory for lines that waits for the next one.
const maxIdleLine = 64 << 10

// sendLast writes a reply after all notifications that were queued before.
func (o *output) sendLast(reply mcp.JSONRPCMessage) {
	select {
	case o.last <- replyLine(reply):
	case <-o.done:
	}
}

// run writes notifications, and what must come after them, until stop is closed
// or the stream fails. Whoever closes stop has no reply left to send.
func (o *output) run(stop <-chan struct{}) {
	defer close(o.done)
	for o.err == nil {
		select {
		case n := <-o.notifications:
			o.err = o.writeNotification(n)
		case line := <-o.last:
			if o.err = o.flushNotifications(); o.err == nil {
				o.err = o.write(line, nil)
			}
		case o.err = <-o.failed:
		case <-stop:
			o.err = o.flushNotifications()
			return
		}
	}
}

// flushNotifications writes those that are waiting now. A handler queues its
// notifications before it returns its result, so they are here when the result
// arrives.
func (o *output) flushNotifications() error {
	for {
		select {
		case n := <-o.notifications:
			if err := o.writeNotification(n); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (o *output) writeNotification(n mcp.JSONRPCNotification) error {
	line, err := encodeLine(n)
	if err != nil {
		return nil // nobody waits for it
	}
	return o.write(line, nil)
}

// write writes a line when it is its turn; giveUp ends the waiting for it.
func (o *output) write(line []byte, giveUp <-chan struct{}) error {
	select {
	case o.writing <- struct{}{}:
	case <-giveUp:
		return nil
	case <-o.done:
		return nil
	}
	defer func() { <-o.writing }()
	select {
	case <-o.done:
		return nil
	default:
	}
	if o.broken {
		return nil
	}
	if _, err := o.w.Write(line); err != nil {
		o.broken = true
		return fmt.Errorf("write to the client: %w", err)
	}
	return nil
}

func replyLine(reply mcp.JSONRPCMessage) []byte { return append(encodeReply(reply), '\n') }

func encodeLine(m mcp.JSONRPCMessage) ([]byte, error) {
	line, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return append(line, '\n'), nil
}

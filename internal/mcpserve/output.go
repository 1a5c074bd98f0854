package mcpserve

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/mark3labs/mcp-go/mcp"
)

// output writes messages, one a line. One goroutine (run) does all writing, so
// that lines never mix, and it writes waiting notifications before the next
// reply, so that the progress of a call never comes after its result.
type output struct {
	w             io.Writer
	replies       chan []byte
	notifications <-chan mcp.JSONRPCNotification
	done          chan struct{} // closed when run has ended
	err           error         // why, valid once done is closed
}

func newOutput(w io.Writer, notifications <-chan mcp.JSONRPCNotification) *output {
	return &output{w: w, replies: make(chan []byte), notifications: notifications, done: make(chan struct{})}
}

// send writes a reply. While the client does not read it blocks, until giveUp
// is closed or run has ended; the reply is lost then.
func (o *output) send(reply mcp.JSONRPCMessage, giveUp <-chan struct{}) {
	line := append(encodeReply(reply), '\n')
	select {
	case o.replies <- line:
	case <-giveUp:
	case <-o.done:
	}
}

// run writes until stop is closed or the stream fails. Whoever closes stop has
// no reply left to send.
func (o *output) run(stop <-chan struct{}) {
	defer close(o.done)
	for o.err == nil {
		select {
		case n := <-o.notifications:
			o.err = o.writeNotification(n)
		case line := <-o.replies:
			if o.err = o.flushNotifications(); o.err == nil {
				o.err = o.write(line)
			}
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
	return o.write(line)
}

func (o *output) write(line []byte) error {
	if _, err := o.w.Write(line); err != nil {
		return fmt.Errorf("write to the client: %w", err)
	}
	return nil
}

func encodeLine(m mcp.JSONRPCMessage) ([]byte, error) {
	line, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return append(line, '\n'), nil
}

// encodeReply never fails: a result that cannot be encoded becomes an error, as
// somebody waits for the reply.
func encodeReply(reply mcp.JSONRPCMessage) []byte {
	text, err := marshalReply(reply)
	if err != nil {
		id, _ := json.Marshal(replyID(reply))
		text, _ = json.Marshal(errorReply(id, mcp.INTERNAL_ERROR, "internal error: "+err.Error()))
	}
	return text
}

// marshalReply is json.Marshal, but for the result of a call: what that has
// encoded itself is long and is not read through once more.
func marshalReply(reply mcp.JSONRPCMessage) ([]byte, error) {
	r, ok := reply.(mcp.JSONRPCResponse)
	result, own := r.Result.(json.Marshaler)
	if !ok || !own {
		return json.Marshal(reply)
	}
	encoded, err := result.MarshalJSON()
	if err != nil {
		return nil, err
	}
	r.Result = nil
	id, err := json.Marshal(r.ID)
	if err != nil {
		return nil, err
	}
	text := make([]byte, 0, len(encoded)+len(id)+len(`{"jsonrpc":"2.0","id":,"result":}`)+1)
	text = append(append(text, `{"jsonrpc":"`+r.JSONRPC+`","id":`...), id...)
	return append(append(append(text, `,"result":`...), encoded...), '}'), nil
}

func replyID(reply mcp.JSONRPCMessage) mcp.RequestId {
	switch r := reply.(type) {
	case mcp.JSONRPCResponse:
		return r.ID
	case mcp.JSONRPCError:
		return r.ID
	default:
		return mcp.NewRequestId(nil)
	}
}

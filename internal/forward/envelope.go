package forward

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/mcpserve/mcpclient"
)

// decodeEnvelope reads another server's answer. data stays as it was written:
// what is in it is known to that server's version.
func decodeEnvelope(text json.RawMessage) (*dispatch.Envelope, error) {
	if len(text) == 0 {
		return nil, errors.New("it has no structured content")
	}
	var answer struct {
		dispatch.Envelope
		Data json.RawMessage `json:"data"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // a cookie under next does not fit into a float64
	if err := decoder.Decode(&answer); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if answer.Summary == "" {
		return nil, errors.New("it has no summary")
	}
	envelope := answer.Envelope
	if len(answer.Data) > 0 && string(answer.Data) != "null" {
		envelope.Data = answer.Data
	}
	return &envelope, nil
}

// refusal is the answer to a call that the other server refused by the protocol,
// as it does with tools that it does not offer. The error that its dispatcher had
// made lies in the data.
func refusal(remote *mcpclient.RemoteError) *dispatch.Envelope {
	public := &dispatch.Error{}
	if json.Unmarshal(remote.Data, public) != nil || public.Code == "" {
		public = &dispatch.Error{
			Code: dispatch.CodeInternal, Message: "the other server refused the call: " + clip(remote.Message),
			Hint: "the log of the server on that node has more",
		}
	}
	return &dispatch.Envelope{Summary: public.Message, Notes: []dispatch.Note{}, Next: []dispatch.Next{}, Error: public}
}

// clip shows a word of another server within our own: bounded, in quotes.
func clip(s string) string { return strconv.QuoteToASCII(s[:min(len(s), 200)]) }

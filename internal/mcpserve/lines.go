package mcpserve

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// lineReader cuts a stream into lines and bounds them. A longer line is read
// to its end and thrown away, so that the next one can still be served.
type lineReader struct {
	in  *bufio.Reader
	max int // bytes, without the newline
}

// lineTooLongError stands for a line that was skipped.
type lineTooLongError struct {
	max int
	id  json.RawMessage // the id of the request in it; nil: none found
}

func (e *lineTooLongError) Error() string {
	return fmt.Sprintf("invalid request: the message is longer than %d bytes", e.max)
}

func newLineReader(in io.Reader, maxBytes int) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, 64<<10), max: maxBytes}
}

// next returns the next line, which the caller then owns, without its newline.
// The last line needs none. At the end it returns io.EOF; after a
// *lineTooLongError the following line can be read.
func (r *lineReader) next() ([]byte, error) {
	var line []byte
	for {
		part, err := r.in.ReadSlice('\n')
		if len(line)+len(part) > r.max+1 { // one for the newline
			return nil, r.skip(line, part, err)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			line = line[:len(line)-1]
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil // the next call returns io.EOF
		default:
			return nil, err
		}
	}
}

// skip reads on to the end of the line that begins with line and part, where
// err is what reading part returned.
func (r *lineReader) skip(line, part []byte, err error) error {
	var scan idScanner
	scan.write(line)
	scan.write(part)
	for errors.Is(err, bufio.ErrBufferFull) {
		part, err = r.in.ReadSlice('\n')
		scan.write(part)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return &lineTooLongError{max: r.max, id: scan.id}
}

package resolve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// kubeList is a page of a list. It hands on one object after the other, so that a
// page takes the memory of its largest object, however long it is.
type kubeList[T any] struct {
	kubeKind
	Metadata struct {
		Continue string `json:"continue"`
	}
	each func(*T) bool // may keep what it is given; false: no more is needed
	done bool          // each has said so, and nothing was read after that
}

// kind is not known of a list that was not read to its end.
func (l *kubeList[T]) kind() string {
	if l.done {
		return "List"
	}
	return l.Kind
}

// read reads the page from in.
func (l *kubeList[T]) read(in *objectReader) error {
	d := foreignDecoder(in)
	if err := expect(d, '{'); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		switch name {
		case "kind":
			err = d.Decode(&l.Kind)
		case "metadata":
			err = d.Decode(&l.Metadata)
		case "items":
			err = l.items(d, in)
		default:
			var other json.RawMessage
			err = d.Decode(&other)
		}
		if err != nil || l.done {
			return err
		}
	}
	return expect(d, '}')
}

func (l *kubeList[T]) items(d *json.Decoder, in *objectReader) error {
	first, err := d.Token()
	if err != nil || first == nil { // null is an empty list
		return err
	}
	if first != json.Delim('[') {
		return errNoList
	}
	for d.More() {
		in.left = maxKubeObject
		var item T
		if err := d.Decode(&item); err != nil {
			return err
		}
		if l.done = !l.each(&item); l.done {
			return nil
		}
	}
	in.left = maxKubeObject
	return expect(d, ']')
}

var errNoList = errors.New("a list that is none")

func expect(d *json.Decoder, want json.Delim) error {
	got, err := d.Token()
	if err == nil && got != want {
		err = errNoList
	}
	return err
}

// maxKubeObject bounds what is read, and so held in memory, for one object. The
// API's store takes objects of 1.5 MiB (etcd, --max-request-bytes), which are longer
// as JSON.
const maxKubeObject = 8 << 20

// objectReader fails when more than left bytes are read. Who reads several objects
// sets it for each.
type objectReader struct {
	in   io.Reader
	left int
}

func (r *objectReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, &http.MaxBytesError{Limit: maxKubeObject}
	}
	n, err := r.in.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// readKubeObject reads an object or a list.
func readKubeObject(in io.Reader, into kubeObject) error {
	bounded := &objectReader{in: in, left: maxKubeObject}
	var err error
	if list, ok := into.(interface{ read(in *objectReader) error }); ok {
		err = list.read(bounded)
	} else {
		err = foreignDecoder(bounded).Decode(into)
	}
	if err == nil && into.kind() == "" {
		err = &SaidError{Words: "an object without a kind"}
	}
	return err
}

// firstOf asks for the first objects of a list, at most limit.
func firstOf[T any](ctx context.Context, c *kubeConn, r kubeRequest, limit int) (items []T, err error) {
	list := kubeList[T]{each: func(item *T) bool {
		items = append(items, *item)
		return len(items) < limit
	}}
	err = c.get(ctx, r, limit, "", &list)
	return items, err
}

// pages asks for a list page by page. each gets every object, which it may keep, and
// says whether to go on. After maxKubePages it fails with a [*cutError].
func pages[T any](ctx context.Context, c *kubeConn, r kubeRequest, each func(*T) bool) error {
	next := ""
	for range maxKubePages {
		list := kubeList[T]{each: each}
		if err := c.get(ctx, r, kubePage, next, &list); err != nil {
			return err
		}
		if next = list.Metadata.Continue; list.done || next == "" {
			return nil
		}
	}
	return &cutError{what: r.resource}
}

// cutError says that a list is longer than what is read of one. What was read of it
// counts all the same.
type cutError struct{ what string }

func (e *cutError) Error() string {
	return fmt.Sprintf("there are more than %d %s, and only so many are looked at", maxKubePages*kubePage, e.what)
}

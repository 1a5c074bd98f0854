package resolve

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// podPage writes a page of n pods of size bytes each, and counts what was read of it.
type podPage struct {
	n, size, next int
	text          strings.Reader
	read          int
}

func (p *podPage) Read(b []byte) (int, error) {
	if p.text.Len() == 0 {
		switch {
		case p.next > p.n:
			return 0, io.EOF
		case p.next == p.n:
			p.text.Reset(`],"kind":"PodList"}`)
		default:
			head := ","
			if p.next == 0 {
				head = `{"metadata":{"continue":"more"},"items":[`
			}
			p.text.Reset(fmt.Sprintf(`%s{"metadata":{"name":"pod-%d","annotations":{"a":"%s"}}}`, head, p.next, strings.Repeat("x", p.size)))
		}
		p.next++
	}
	n, err := p.text.Read(b)
	p.read += n
	return n, err
}

// TestKubePageIsReadAnObjectAtATime: of a page of 64 MB no more is in memory than an
// object, and what was read ahead.
func TestKubePageIsReadAnObjectAtATime(t *testing.T) {
	t.Parallel()
	const size = 128 << 10
	page := &podPage{n: 512, size: size}
	seen := 0
	list := kubeList[kubePod]{each: func(p *kubePod) bool {
		if ahead := page.read - seen*size; p.Metadata.Name != fmt.Sprintf("pod-%d", seen) || ahead > 4*size {
			t.Errorf("%s at place %d, %d bytes read ahead", p.Metadata.Name, seen, ahead)
		}
		seen++
		return !t.Failed()
	}}
	if err := readKubeObject(page, &list); err != nil || seen != 512 || list.Metadata.Continue != "more" {
		t.Errorf("%d pods, continue %q, %v", seen, list.Metadata.Continue, err)
	}
}

func TestKubeObjectIsBounded(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func() error{
		"in a list": func() error {
			return readKubeObject(&podPage{n: 1, size: 2 * maxKubeObject}, &kubeList[kubePod]{each: func(*kubePod) bool { return true }})
		},
		"alone": func() error {
			return readKubeObject(strings.NewReader(`{"kind":"Pod","metadata":{"name":"`+strings.Repeat("x", 2*maxKubeObject)), &kubePod{})
		},
		"blanks": func() error {
			return readKubeObject(strings.NewReader(`{"kind":"PodList","items":[`+strings.Repeat(" ", 2*maxKubeObject)), &kubeList[kubePod]{})
		},
	} {
		var tooLong *http.MaxBytesError
		if err := read(); !errors.As(err, &tooLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKubeListForms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"kind":"PodList","items":[]}`:   "",
		`{"kind":"PodList","items":null}`: "",
		`{"kind":"PodList"}`:              "",
		`{"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}],"kind":"List"}`: "ab",
		`{"apiVersion":"v1","x":{"y":[1]},"kind":"L","items":[{}]}`:                     "",
		`{"items":[{"metadata":{"name":"stop"}},{"metadata":{"name":"b"}}]}`:            "stop",
		`{"items":[]}`:              "error", // without a kind
		`{"kind":"L","items":{}}`:   "error",
		`{"kind":"L","items":[{]}`:  "error",
		`{"kind":"L","items":[{}`:   "error",
		`{"kind":"L","items":[1]}`:  "error",
		`[]`:                        "error",
		`{"kind":"L","items":[] x}`: "error",
		``:                          "error",
	} {
		got := ""
		list := kubeList[kubePod]{each: func(p *kubePod) bool {
			got += p.Metadata.Name
			return got != "stop"
		}}
		if err := readKubeObject(strings.NewReader(text), &list); err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

package lookup

import (
	"context"
	"io/fs"

	"nsenter-mcp/nsexec"
)

// mapFiles are files given as text.
type mapFiles map[string]string

func (m mapFiles) ReadFile(_ context.Context, name string, limit int64) (nsexec.File, error) {
	text, ok := m[name]
	if !ok {
		return nsexec.File{}, fs.ErrNotExist
	}
	data := []byte(text)
	if int64(len(data)) > limit {
		return nsexec.File{Data: data[:limit], Truncated: true}, nil
	}
	return nsexec.File{Data: data}, nil
}

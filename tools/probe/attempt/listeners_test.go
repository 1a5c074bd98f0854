package attempt

import (
	"slices"
	"testing"
)

const (
	procTCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3086 1 0000000000000000 100 0 0 10 0
   1: 0500000A:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3087 1 0000000000000000 100 0 0 10 0
   2: 0500000A:0050 0900000A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 3088 1 0000000000000000 100 0 0 10 0
`
	procTCP6 = `  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: B80D0120000000000000000001000000:0051 00000000000000000000000000000000:0000 0A 00000000:00000000
`
)

func TestParseListeners(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		procTCP:  {"127.0.0.1:80", "10.0.0.5:8080"},
		procTCP6: {"[::1]:80", "[2001:db8::1]:81"},
	} {
		var got []string
		for _, a := range parseListeners([]byte(text)) {
			got = append(got, a.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

func FuzzListeners(f *testing.F) {
	f.Add([]byte(procTCP))
	f.Add([]byte(procTCP6))
	f.Fuzz(func(_ *testing.T, text []byte) { parseListeners(text) })
}

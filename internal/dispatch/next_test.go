package dispatch

import (
	"encoding/json"
	"testing"
)

func TestPropose(t *testing.T) {
	t.Parallel()
	type arguments struct {
		TargetArgs
		Names  []string          `json:"names,omitempty"`
		Header map[string]string `json:"header,omitempty"`
		Whole  *bool             `json:"whole,omitempty"`
		Limit  *int              `json:"limit,omitempty"`
		MSS    int               `json:"mss,omitempty"`
	}
	no, none, pid := false, 0, 7
	for want, in := range map[string]arguments{
		`{}`: {},
		`{"expect":18446744073709551615,"pid":7}`: {TargetArgs: TargetArgs{PID: &pid, Expect: 1<<64 - 1}},
		`{"limit":0,"names":["a"],"whole":false}`: {Names: []string{"a"}, Whole: &no, Limit: &none},
		`{"header":{"Host":"b"},"mss":536}`:       {Header: map[string]string{"Host": "b"}, MSS: 536},
	} {
		next := Propose(Name[arguments]("tool"), in, "why")
		got, err := json.Marshal(next.Arguments)
		if err != nil || string(got) != want || next.Tool != "tool" || next.Why != "why" {
			t.Errorf("%+v: %+v as %s (%v), want %s", in, next, got, err, want)
		}
	}
}

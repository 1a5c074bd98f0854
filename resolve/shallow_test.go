package resolve

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

func nested(levels int, inside string) string {
	return strings.Repeat(`{"a":[`, levels/2) + inside + strings.Repeat("]}", levels/2)
}

func TestForeignJSONIsShallow(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		deep bool
	}{
		"as deep as allowed": {nested(maxJSONDepth, "1"), false},
		"deeper":             {nested(maxJSONDepth+2, "1"), true},
		"beside each other":  {"[" + strings.Repeat("[],", 100) + "{}]", false},
		"in a string":        {`"` + strings.Repeat("[{", 100) + `"`, false},
		"behind a quote":     {`{"a\\":"\"` + strings.Repeat("[", 100) + `"}`, false},
		"behind a backslash": {`["\\",` + strings.Repeat("[", 100), true},
		"no JSON":            {strings.Repeat("[", 1000), true},
	} {
		var whole, bytewise json.RawMessage
		err := unmarshalForeign([]byte(test.text), &whole)
		if errors.Is(err, errDeep) != test.deep || err != nil != test.deep {
			t.Errorf("%s: %v", name, err)
		}
		err = foreignDecoder(iotest.OneByteReader(strings.NewReader(test.text))).Decode(&bytewise)
		if errors.Is(err, errDeep) != test.deep || err != nil != test.deep {
			t.Errorf("%s, as a stream: %v", name, err)
		}
	}
}

// What runtimes, kubelets and people write is bounded wherever it is read.
func TestDeepForeignJSONIsNotRead(t *testing.T) {
	t.Parallel()
	deep := nested(maxJSONDepth+2, "1")
	for name, info := range map[string]map[string]string{
		"in the answer":      {"info": `{"pid":12,"config":` + deep + `}`},
		"in its own string":  {"info": string(mustQuote(t, `{"pid":12,"config":`+deep+`}`))},
		"in a field (CRI-O)": {"runtimeSpec": `{"annotations":{"io.kubernetes.cri-o.RuntimeHandler":"kata"},"x":` + deep + `}`},
	} {
		if got := parseCRIInfo(info); got.pid != 0 || got.runtime != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := parseCredential([]byte(`{"kind":"ExecCredential","x":`+deep+`}`), ""); err == nil {
		t.Error("a credential plugin's answer was read")
	}
	var pod kubePod
	if err := readKubeObject(strings.NewReader(`{"kind":"Pod","x":`+deep+`}`), &pod); !errors.Is(err, errDeep) {
		t.Errorf("an object of the API: %v", err)
	}
	var list kubeList[kubePod]
	list.each = func(*kubePod) bool { return true }
	if err := readKubeObject(strings.NewReader(`{"kind":"PodList","items":[{"kind":"Pod","x":`+deep+`}]}`), &list); !errors.Is(err, errDeep) {
		t.Errorf("a list of the API: %v", err)
	}
}

func mustQuote(t *testing.T, s string) []byte {
	t.Helper()
	quoted, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return quoted
}

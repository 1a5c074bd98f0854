package fact

import "slices"

// Compact leaves out of an answer that was judged what only a detailed one shows.
// What explains a failure stays.
func (f *Fetch) Compact() {
	if f.Journey != nil {
		f.Journey.Compact()
	}
	var explained []Cause
	for i := range f.Attempts {
		a := &f.Attempts[i]
		if a.Outcome == OutcomeOK {
			a.Local, a.Route, a.Neigh = "", nil, nil // local stands beside remote
			switch {
			case a.Node == nil:
			case a.Node.SentTo == "":
				a.Node = nil
			default:
				a.Node = &AttemptNode{SentTo: a.Node.SentTo}
			}
		}
		switch a.Cause {
		case CauseLost, CauseSlow, CauseResetAnswer, CauseNoListener, CauseListenElsewhere:
			a.Wire, a.Counters = nil, nil // why says what they tell
		}
		a.Journey = nil
		if slices.Contains(explained, a.Cause) {
			// The same again, at another address.
			a.Route, a.Neigh, a.Answer, a.Wire, a.Counters, a.Node, a.Why = nil, nil, nil, nil, nil, nil, ""
		}
		explained = append(explained, a.Cause)
		if a.Why == f.Reason {
			a.Why = "" // stands above
		}
	}
	if f.TLS != nil {
		compactTLS(f.TLS)
	}
}

// Bounds of a chain in a short answer.
const (
	fewCertificates = 3
	fewNames        = 6
)

func compactTLS(t *TLS) {
	sent := max(len(t.Chain), t.ChainLength)
	keep := 1
	if t.Error != nil {
		keep = fewCertificates
	}
	t.Chain = t.Chain[:min(len(t.Chain), keep)]
	if len(t.Chain) < sent {
		t.ChainLength = sent
	}
	for i := range t.Chain {
		c := &t.Chain[i]
		c.SHA256 = ""
		if text := &c.Untrusted; len(text.Names) > fewNames {
			text.NamesTotal = max(text.NamesTotal, len(text.Names))
			text.Names = text.Names[:fewNames]
		}
	}
}

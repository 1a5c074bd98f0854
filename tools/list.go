package tools

// All returns every tool of the program, in the order in which an agent reads
// them. A new tool is one file and one line here.
func All() []Tool {
	return []Tool{
		resolvePodPID(),
		listPods(),
		netnsIPAddr(),
		netnsDNSLookup(),
		netnsCurl(),
	}
}

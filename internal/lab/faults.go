package lab

// Fault is something to break in a pod that works.
type Fault struct {
	// Code is the finding that has to name it ("link.down").
	Code  string
	About string // what is broken, in a few words
	// Inject breaks it, at once and until the pod's end. It fails on a pod of a
	// style in which there is nothing of the kind to break.
	Inject func(*Pod) error
}

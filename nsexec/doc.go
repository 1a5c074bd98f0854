// Package nsexec works inside other Linux network namespaces without moving
// the program there. It is the only package that calls setns(2).
//
// A [Home] is the namespace this process was started in and to which every
// thread returns. From it one opens a [Process] (pinned, so that a reused PID
// number can never name somebody else), a [Handle] (a pinned network
// namespace) and [Files] (the root directory of a container).
//
// The rule behind the package: a socket belongs for ever to the namespace it
// was created in (network_namespaces(7)), and any thread may use it. So a
// thread is locked, enters, calls socket(2), comes back, and all waiting
// happens outside, on ordinary goroutines. Only [Handle.Do] runs code of the
// caller inside, for the few synchronous reads that depend on the thread.
//
// A thread that cannot be brought home is never used again: its goroutine
// ends while still locked, and the Go runtime destroys the thread. Where that is
// the caller's, after a socket, the thread serves it to its end, but nothing of
// this package's is done on it any more. This
// package locks the main goroutine to the main thread at init, because the
// main thread is the one that cannot be destroyed and whose namespace
// /proc/self/net shows; programs that link nsexec therefore run their work on
// goroutines other than main's.
//
// What is not here: which namespace to enter (package resolve), and what to
// do there (package tools/probe).
package nsexec

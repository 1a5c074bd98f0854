package lab

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OpenFiles counts the descriptors of this process below 1024, without opening one.
func OpenFiles() (n int) {
	for fd := range 1024 {
		if _, err := unix.Seek(fd, 0, unix.SEEK_CUR); !errors.Is(err, unix.EBADF) {
			n++
		}
	}
	return n
}

// FailCall makes a system call fail from now on, in every thread of this process and of
// its children (seccomp(2)). It cannot be taken back.
func FailCall(number uintptr, errno unix.Errno) error {
	const loadNumber, jumpEqual, result = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{
		{Code: loadNumber}, // the first field of struct seccomp_data
		{Code: jumpEqual, Jf: 1, K: uint32(number)},
		{Code: result, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: result, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const setFilter, allThreads = 1, 1
	failed, _, errnoGot := unix.Syscall(unix.SYS_SECCOMP, setFilter, allThreads, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errnoGot != 0 || failed != 0 {
		return fmt.Errorf("seccomp: %w, thread %d", errnoGot, failed)
	}
	return nil
}

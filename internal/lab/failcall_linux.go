package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
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

// RuntimeFiles lists the descriptors of this process that Go's runtime cannot do without
// (its eventfd, see netpollBreak in runtime/netpoll_epoll.go), and standard output and
// error.
func RuntimeFiles() []int {
	files := []int{1, 2}
	for fd := range 1024 {
		if to, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err == nil && to == "anon_inode:[eventfd]" {
			files = append(files, fd)
		}
	}
	return files
}

// FailCall makes a system call fail from now on, in every thread of this process and of
// its children (seccomp(2)). It cannot be taken back. It does not fail where the first
// argument is one of the descriptors spared.
func FailCall(number uintptr, errno unix.Errno, spared ...int) error {
	const load, jumpEqual, result = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	const firstArgument = 16 // its offset in struct seccomp_data, which begins with the number
	last := uint8(len(spared) + 2)
	filter := []unix.SockFilter{
		{Code: load},
		{Code: jumpEqual, Jf: last, K: uint32(number)},
		{Code: load, K: firstArgument},
	}
	for i, fd := range spared {
		filter = append(filter, unix.SockFilter{Code: jumpEqual, Jt: last - uint8(i) - 2, K: uint32(fd)})
	}
	filter = append(filter,
		unix.SockFilter{Code: result, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		unix.SockFilter{Code: result, K: unix.SECCOMP_RET_ALLOW})
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

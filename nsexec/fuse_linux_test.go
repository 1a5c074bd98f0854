package nsexec_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

// fuseOp is a request of the FUSE protocol (include/uapi/linux/fuse.h).
type fuseOp uint32

const (
	fuseLookup  fuseOp = 1
	fuseForget  fuseOp = 2
	fuseGetattr fuseOp = 3
	fuseOpen    fuseOp = 14
	fuseRead    fuseOp = 15
	fuseStatfs  fuseOp = 17
	fuseRelease fuseOp = 18
	fuseFlush   fuseOp = 25
	fuseInit    fuseOp = 26
	fusePoll    fuseOp = 40

	fuseInterrupt   fuseOp = 36
	fuseBatchForget fuseOp = 42
)

// fuseServer is a file system with one file, "file", that never answers some of
// the requests. The kernel side of it hangs like that of a broken NFS server.
//
// It is another process: a thread that waits for an answer cannot be killed, and
// would keep the descriptor open on which it waits. The end of the server ends
// the connection, and so all that hangs in it.
type fuseServer struct {
	dir  string
	hung chan fuseOp // each request that is not answered, as it arrives
	stop func()      // ends the server; may be called again
}

// fuseContent is what the file holds.
const fuseContent = "nameserver 192.0.2.53\n"

// startFUSE mounts the file system until the test ends.
func startFUSE(t testing.TB, behaviour fuseBehaviour) *fuseServer {
	t.Helper()
	lab.Device(t, "/dev/fuse")
	text, err := json.Marshal(behaviour)
	if err != nil {
		t.Fatal(err)
	}
	s := &fuseServer{dir: t.TempDir(), hung: make(chan fuseOp, 1024)}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{roleVar + "=" + roleFUSE, "DIR=" + s.dir, "BEHAVIOUR=" + string(text)}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	started, stopped := make(chan error), make(chan struct{})
	go func() {
		// The signal comes with the end of the thread that forked (prctl(2)).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- cmd.Start()
		<-stopped
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	s.stop = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
		close(stopped)
		unix.Unmount(s.dir, unix.MNT_DETACH)
	})
	t.Cleanup(s.stop)
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Skipf("no FUSE here: %s", lines.Text())
	}
	go func() {
		for lines.Scan() {
			var op fuseOp
			fmt.Sscan(lines.Text(), &op)
			s.hung <- op
		}
	}()
	return s
}

// fuseBehaviour is what is wrong with a file system.
type fuseBehaviour struct {
	Hang map[fuseOp]bool       // never answered
	Fail map[fuseOp]unix.Errno // answered with an error
	Drip bool                  // reads give one byte each, for ever
}

// serveFUSE is what roleFUSE does.
func serveFUSE() error {
	var behaviour fuseBehaviour
	if err := json.Unmarshal([]byte(os.Getenv("BEHAVIOUR")), &behaviour); err != nil {
		return err
	}
	dev, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other", dev, os.Getuid(), os.Getgid())
	if err := unix.Mount("test", os.Getenv("DIR"), "fuse", 0, options); err != nil {
		return err
	}
	fmt.Println("ready")
	buffer := make([]byte, 1<<17)
	for {
		n, err := unix.Read(dev, buffer)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOENT) {
			continue // ENOENT: the request was taken back
		}
		if err != nil {
			return err
		}
		var in struct {
			Len    uint32
			Op     fuseOp
			Unique uint64
			Node   uint64
		}
		decode(buffer[:n], &in)
		switch in.Op {
		case fuseForget, fuseBatchForget, fuseInterrupt:
			continue // they have no answer
		}
		if behaviour.Hang[in.Op] {
			fmt.Println(in.Op)
			continue
		}
		body, errno := answerFUSE(in.Op, in.Node)
		switch {
		case behaviour.Drip && in.Op == fuseRead:
			body = body[:1]
		case in.Op == fuseRead:
			var read struct{ Handle, Offset uint64 }
			decode(buffer[40:n], &read)
			body = body[min(int(read.Offset), len(body)):]
		}
		if failure := behaviour.Fail[in.Op]; failure != 0 {
			body, errno = nil, failure
		}
		reply := encode(struct {
			Len    uint32
			Error  int32
			Unique uint64
		}{uint32(16 + len(body)), -int32(errno), in.Unique})
		if _, err := unix.Write(dev, append(reply, body...)); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
}

// fuseAttr is struct fuse_attr.
type fuseAttr struct {
	Ino, Size, Blocks, Atime, Mtime, Ctime                               uint64
	AtimeNS, MtimeNS, CtimeNS, Mode, Links, UID, GID, Dev, BlkSize, Flag uint32
}

func answerFUSE(op fuseOp, node uint64) ([]byte, unix.Errno) {
	const root = 1
	attr := fuseAttr{Ino: node, Mode: unix.S_IFDIR | 0o755, Links: 2, BlkSize: 4096}
	if node != root {
		attr.Mode, attr.Links, attr.Size = unix.S_IFREG|0o644, 1, uint64(len(fuseContent))
	}
	switch op {
	case fuseInit:
		// Version 7.31, and nothing that has to be negotiated.
		return encode(struct {
			Major, Minor, MaxReadahead, Flags uint32
			MaxBackground, Congestion         uint16
			MaxWrite, TimeGran                uint32
			Rest                              [9]uint32
		}{Major: 7, Minor: 31, MaxReadahead: 4096, MaxWrite: 4096, TimeGran: 1}), 0
	case fuseLookup:
		const file = 2
		attr := fuseAttr{Ino: file, Mode: unix.S_IFREG | 0o644, Links: 1, Size: uint64(len(fuseContent)), BlkSize: 4096}
		return encode(struct {
			Node, Generation, EntryValid, AttrValid uint64
			EntryValidNS, AttrValidNS               uint32
			Attr                                    fuseAttr
		}{Node: file, Attr: attr}), 0
	case fuseGetattr:
		return encode(struct {
			Valid       uint64
			ValidNS, _1 uint32
			Attr        fuseAttr
		}{Attr: attr}), 0
	case fuseOpen:
		const directIO = 1 << 0
		return encode(struct {
			Handle       uint64
			Flags, Other uint32
		}{Flags: directIO}), 0
	case fuseRead:
		return []byte(fuseContent), 0
	case fuseStatfs:
		return make([]byte, 80), 0
	case fusePoll:
		return make([]byte, 8), 0 // never ready
	case fuseRelease, fuseFlush:
		return nil, 0
	}
	return nil, unix.ENOSYS
}

// decode and encode panic on what is no struct of the protocol.
func decode(data []byte, into any) {
	if err := binary.Read(bytes.NewReader(data), binary.NativeEndian, into); err != nil {
		panic(err)
	}
}

func encode(v any) []byte {
	var b bytes.Buffer
	if err := binary.Write(&b, binary.NativeEndian, v); err != nil {
		panic(err)
	}
	return b.Bytes()
}

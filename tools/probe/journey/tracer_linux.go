package journey

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// The bounds of recordings.
const (
	ringBytes  = 256 << 10 // some 1,200 packets that were not read yet
	maxKeys    = 8192      // addresses of all flows, before and after NAT, both ways
	maxRecords = 512       // packets of one flow
)

// Tracer makes recordings. What it attaches to the kernel is shared by all that run at
// a time, and is gone with the last; it is also gone when the process dies. The zero
// value is ready; methods may be called from any goroutine.
type Tracer struct {
	mutex   sync.Mutex
	offsets *offsets
	session *session // nil while nothing is recorded
	lastID  uint32
}

// session is what is attached.
type session struct {
	maps       map[string]*ebpf.Map
	links      []link.Link
	reader     *ringbuf.Reader
	mutex      sync.Mutex // of what follows
	recordings map[uint32]*Recording
	read       *sync.Cond // signalled when the ring was read to its end
	flushes    int
	closed     bool
}

// Recording is one flow that is being watched.
type Recording struct {
	tracer  *Tracer
	session *session
	flow    Flow
	id      uint32
	began   uint64
	lost    uint64 // by all recordings, before this one
	records []record
	missed  int
}

// Start begins to record a flow. It fails with an [UnavailableError] where this
// machine gives no trail. The caller calls Stop.
func (t *Tracer) Start(flow Flow) (*Recording, error) {
	if err := flow.valid(); err != nil {
		return nil, err
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.session == nil {
		s, err := t.attach()
		if err != nil {
			return nil, &UnavailableError{err}
		}
		t.session = s
	}
	now, err := monotonic()
	if err != nil {
		return nil, err
	}
	t.lastID++
	r := &Recording{tracer: t, session: t.session, flow: flow, id: t.lastID, began: now, lost: t.session.lost()}
	t.session.add(r)
	if err := t.session.choose(r); err != nil {
		t.remove(r)
		return nil, fmt.Errorf("select the flow: %w", err)
	}
	return r, nil
}

// Check reports, by an [UnavailableError], why this machine gives no trail.
func (t *Tracer) Check() error {
	nobody := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	r, err := t.Start(Flow{Proto: TCP, Src: nobody, Dst: nobody})
	if err != nil {
		return err
	}
	r.Stop()
	return nil
}

// Stop ends the recording and returns the trail up to now.
func (r *Recording) Stop() fact.Journey {
	r.session.flush()
	r.tracer.mutex.Lock()
	r.missed += int(r.session.lost() - r.lost) //nolint:gosec // far less
	r.tracer.remove(r)
	r.tracer.mutex.Unlock()
	return fact.Journey{Status: fact.JourneyRecorded, Steps: assemble(r.records, r.flow, r.began), Missed: r.missed}
}

// attach loads the programs and attaches them.
func (t *Tracer) attach() (_ *session, err error) {
	if t.offsets == nil {
		if t.offsets, err = readOffsets(); err != nil {
			return nil, err
		}
	}
	s := &session{maps: map[string]*ebpf.Map{}, recordings: map[uint32]*Recording{}}
	s.read = sync.NewCond(&s.mutex)
	defer func() {
		if err != nil {
			s.detach()
		}
	}()
	for _, spec := range []ebpf.MapSpec{
		{Name: "events", Type: ebpf.RingBuf, MaxEntries: ringBytes},
		{Name: "flows", Type: ebpf.Hash, KeySize: keySize, ValueSize: 8, MaxEntries: maxKeys},
		{Name: "places", Type: ebpf.Hash, KeySize: placeSize, ValueSize: 8, MaxEntries: maxKeys},
		{Name: "packets", Type: ebpf.LRUHash, KeySize: 8, ValueSize: packetSize, MaxEntries: maxKeys},
		{Name: "lost", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1},
	} {
		m, err := ebpf.NewMap(&spec)
		if err != nil {
			return nil, err
		}
		s.maps[spec.Name] = m
	}
	if s.reader, err = ringbuf.NewReader(s.maps["events"]); err != nil {
		return nil, err
	}
	// How the kernel prints the name of a function (bpf_snprintf in bpf-helpers(7)).
	format, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "format", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1, Flags: unix.BPF_F_RDONLY_PROG,
		Contents: []ebpf.MapKV{{Key: uint32(0), Value: [4]byte{'%', 'p', 's'}}},
	})
	if err != nil {
		return nil, err
	}
	s.maps["format"] = format
	if err := format.Freeze(); err != nil {
		return nil, err
	}
	descriptors := mapFDs{events: s.maps["events"].FD(), flows: s.maps["flows"].FD(), packets: s.maps["packets"].FD(), places: s.maps["places"].FD(), format: format.FD(), lost: s.maps["lost"].FD()}
	for name, reason := range map[string]int32{"kfree_skb": 0, "net_dev_queue": reasonQueued, "netif_receive_skb": reasonReceived} {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.RawTracepoint, License: "GPL", Instructions: program(t.offsets, descriptors, reason)})
		if err != nil {
			return nil, fmt.Errorf("program of %s: %w", name, err)
		}
		l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: name, Program: p})
		_ = p.Close() // the link holds it
		if err != nil {
			return nil, fmt.Errorf("attach to %s: %w", name, err)
		}
		s.links = append(s.links, l)
	}
	go s.receive(t.offsets.reasons)
	return s, nil
}

// detach gives back all that attach took; the reader goroutine, if any, ends.
func (s *session) detach() {
	for _, l := range s.links {
		_ = l.Close()
	}
	if s.reader != nil {
		_ = s.reader.Close()
	}
	for _, m := range s.maps {
		_ = m.Close()
	}
}

// remove takes a recording out, with everything where it was the last. The caller
// holds the mutex.
func (t *Tracer) remove(r *Recording) {
	s := r.session
	s.mutex.Lock()
	delete(s.recordings, r.id)
	last := len(s.recordings) == 0
	s.mutex.Unlock()
	if !last {
		s.forget(r.id)
		return
	}
	t.session = nil
	go s.detach() // which waits in the kernel for all CPUs
}

// lost counts what was not recorded since the programs were attached, of whichever
// recording: the ring or a map was full.
func (s *session) lost() (count uint64) {
	_ = s.maps["lost"].Lookup(uint32(0), &count) // an array has all its elements
	return count
}

func (s *session) add(r *Recording) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.recordings[r.id] = r
}

// choose tells the programs the flow's addresses.
func (s *session) choose(r *Recording) error {
	value := [2]uint32{r.id, 0}
	place := [2]uint32{r.id, uint32(r.flow.NetnsInode)} //nolint:gosec // the kernel's inodes of namespaces have 32 bits
	if err := s.maps["places"].Put(place, [2]uint32{r.id, placeOwn}); err != nil {
		return err
	}
	if err := s.maps["flows"].Put(keyOf(r.flow.Proto, r.flow.Src, r.flow.Dst), value); err != nil {
		return err
	}
	value[1] = wayBack
	return s.maps["flows"].Put(keyOf(r.flow.Proto, r.flow.Dst, r.flow.Src), value)
}

// forget deletes the keys of one recording, learned ones too.
func (s *session) forget(id uint32) {
	deleteOf[uint64, [packetSize / 4]uint32](s.maps["packets"], id) // first: they add to the others
	deleteOf[[keySize]byte, [2]uint32](s.maps["flows"], id)
	deleteOf[[placeSize]byte, [2]uint32](s.maps["places"], id)
}

func deleteOf[K comparable, V [2]uint32 | [packetSize / 4]uint32](m *ebpf.Map, id uint32) {
	var key K
	var value V
	var old []K
	for all := m.Iterate(); all.Next(&key, &value); {
		if value[0] == id {
			old = append(old, key)
		}
	}
	for _, key := range old {
		_ = m.Delete(key)
	}
}

// keyOf is a packet's key as [program] makes it.
func keyOf(proto Proto, src, dst netip.AddrPort) (key [keySize]byte) {
	key[0] = byte(proto)
	binary.BigEndian.PutUint16(key[keyPorts:], src.Port())
	binary.BigEndian.PutUint16(key[keyPorts+2:], dst.Port())
	from, to := src.Addr().As16(), dst.Addr().As16()
	copy(key[keySrc:], from[:])
	copy(key[keyDst:], to[:])
	return key
}

// flush returns when everything that the programs have written was read.
func (s *session) flush() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	before := s.flushes
	for !s.closed && s.flushes == before {
		_ = s.reader.Flush()
		s.read.Wait()
	}
}

// receive reads the ring until it is closed.
func (s *session) receive(reasons map[uint32]string) {
	for {
		raw, err := s.reader.Read()
		s.mutex.Lock()
		switch {
		case errors.Is(err, ringbuf.ErrFlushed):
			s.flushes++
			s.read.Broadcast()
		case err != nil:
			s.closed = true
			s.read.Broadcast()
			s.mutex.Unlock()
			return
		default:
			s.keep(raw.RawSample, reasons)
		}
		s.mutex.Unlock()
	}
}

func (s *session) keep(sample []byte, reasons map[uint32]string) {
	rec, err := decode(sample, reasons)
	if err != nil {
		return // of a packet that is no IP any more
	}
	switch r := s.recordings[rec.id]; {
	case r == nil:
	case len(r.records) == maxRecords:
		r.missed++
	default:
		r.records = append(r.records, rec)
	}
}

func monotonic() (uint64, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return uint64(now.Nano()), nil //nolint:gosec // since the machine started
}

package journey

import (
	"encoding/binary"

	"github.com/cilium/ebpf/asm"
)

// Offsets in the stack frame of the main function, from its frame pointer. A packet's
// key is what the maps are looked up with: struct { proto, 3 x 0; ports; addresses }
// in network byte order, addresses in 16 bytes.
const (
	atParsed   = -72 // what parse writes: ident, address of the transport header, key, fragment
	atIdent    = atParsed
	atL4       = atParsed + 8
	atKey      = atParsed + 16
	atFragment = atParsed + 56 // identification, and 1 for the first one
	atHead     = -80
	atNetwork  = -88
	atPacket   = -112 // the value of a followed packet: id, way, ident, owner
	atWay      = atPacket + 4
	atReverse  = -152 // a key
	atScratch  = -160
	atTail     = -168
	atPlace    = -176 // id, netns
	atDevice   = -184
	atSkb      = -192
	atFollowed = -200 // 1 where the packet was known by its address
	atNothing  = -208 // the value of a place to which a flow came
	atSocket   = -216 // the inode of its network
)

// Offsets in a key. A later fragment has no ports: its key is marked and has the
// identification of its packet instead.
const (
	keyLater = 1
	keyPorts = 4
	keySrc   = 8
	keyDst   = 24
	keySize  = 40

	placeSize = 8 // id, netns
)

// Of a followed packet: struct { id; way; ident, what its content must begin with; the
// address of the skb }. An id of 0 marks what others sent under a flow's addresses.
const (
	packetIdent = 8
	packetOwner = 16
	packetSize  = 24
)

// placeOwn is the second word of a place's value where the flow begins there.
const placeOwn = 1

// mapFDs are the descriptors of the maps that a program uses.
type mapFDs struct{ events, flows, packets, places, format, lost int }

// storeDouble stores a number in 8 bytes, which the library's StoreImm refuses.
func storeDouble(dst asm.Register, offset int16, value int64) asm.Instruction {
	return asm.Instruction{OpCode: asm.StoreImmOp(asm.DWord), Dst: dst, Offset: offset, Constant: value}
}

// probeRead copies size bytes from the kernel's address in src plus offset to the
// stack; on a fault the bytes are zero (bpf-helpers(7)).
func probeRead(to int16, size int32, src asm.Register, offset uint32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.RFP), asm.Add.Imm(asm.R1, int32(to)),
		asm.Mov.Imm(asm.R2, size),
		asm.Mov.Reg(asm.R3, src), asm.Add.Imm(asm.R3, int32(offset)), //nolint:gosec // offsets of structs are small
		asm.FnProbeReadKernel.Call(),
	}
}

// readPointer loads a word of the kernel into dst.
func readPointer(dst, src asm.Register, offset uint32) asm.Instructions {
	return append(probeRead(atScratch, 8, src, offset), asm.LoadMem(dst, asm.RFP, atScratch, asm.DWord))
}

// lookup finds what the key in the stack frame stands for; R0 is its address or 0.
func lookup(fd int, key int32) asm.Instructions {
	return asm.Instructions{asm.LoadMapPtr(asm.R1, fd), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, key), asm.FnMapLookupElem.Call()}
}

func update(fd int, key, value int32) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, fd), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, key),
		asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, value), asm.Mov.Imm(asm.R4, 0), asm.FnMapUpdateElem.Call(),
		asm.JNE.Imm(asm.R0, 0, "lost"), // the map is full
	}
}

func forget(m mapFDs, key int32) asm.Instructions {
	return asm.Instructions{asm.LoadMapPtr(asm.R1, m.packets), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, key), asm.FnMapDeleteElem.Call()}
}

// program reports each packet of the recorded flows. A skb is the first argument of
// all three tracepoints; of kfree_skb the second is the place, the third the reason.
//
// Who has seen a packet can send it again, with all its numbers. So a packet is followed
// by the address of its skb, which stays the same through devices, namespaces and NAT. It
// begins to be where the flow begins, or as an answer in a network to which the flow has
// come. A bridge that floods sends clones, which share the head.
func program(o *offsets, m mapFDs, reason int32) asm.Instructions {
	var p asm.Instructions
	add := func(is ...asm.Instruction) { p = append(p, is...) }
	mark := func(name string, is asm.Instructions) { is[0] = is[0].WithSymbol(name); add(is...) }
	label := func(name string, i asm.Instruction) { add(i.WithSymbol(name)) }

	add(asm.Mov.Reg(asm.R6, asm.R1), asm.LoadMem(asm.R7, asm.R6, 0, asm.DWord)) // context, skb
	add(asm.StoreMem(asm.RFP, atSkb, asm.R7, asm.DWord), storeDouble(asm.RFP, atNetwork, 0), storeDouble(asm.RFP, atTail, 0))
	add(probeRead(atHead, 8, asm.R7, o.skbHead)...)
	add(probeRead(atNetwork, 2, asm.R7, o.skbNetwork)...)
	add(probeRead(atTail, 4, asm.R7, o.skbTail)...)
	add(asm.LoadMem(asm.R8, asm.RFP, atHead, asm.DWord), asm.LoadMem(asm.R1, asm.RFP, atNetwork, asm.Half), asm.Add.Reg(asm.R8, asm.R1))
	parse := func() {
		add(asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, atParsed), asm.LoadMem(asm.R3, asm.RFP, atHead, asm.DWord),
			asm.LoadMem(asm.R4, asm.RFP, atTail, asm.Word), asm.Add.Reg(asm.R3, asm.R4), asm.Call.Label("parse"))
	}
	add(asm.Mov.Imm(asm.R9, 0), asm.Mov.Reg(asm.R1, asm.R8))
	parse()
	add(asm.JEq.Imm(asm.R0, 1, "look"), asm.JNE.Imm(asm.R0, 2, "out"))
	// An ICMP error quotes the packet that it is about, after 8 bytes of its own.
	add(asm.Mov.Imm(asm.R9, wayQuoted), asm.LoadMem(asm.R1, asm.RFP, atL4, asm.DWord), asm.Add.Imm(asm.R1, 8))
	parse()
	add(asm.JNE.Imm(asm.R0, 1, "out"))

	// R0 is a followed packet. The kernel frees some without a word (__kfree_skb): where
	// the content is another, the memory has become another packet's.
	unless := func(otherwise string) {
		add(asm.JEq.Imm(asm.R0, 0, otherwise), asm.LoadMem(asm.R1, asm.R0, packetIdent, asm.DWord),
			asm.LoadMem(asm.R2, asm.RFP, atIdent, asm.DWord), asm.JNE.Reg(asm.R1, asm.R2, otherwise))
	}
	label("look", storeDouble(asm.RFP, atFollowed, 0))
	add(storeDouble(asm.RFP, atNothing, 0), storeDouble(asm.RFP, atPlace, 0), asm.JNE.Imm(asm.R9, 0, "addresses"))
	add(lookup(m.packets, atSkb)...)
	unless("addresses")
	add(asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord), asm.StoreMem(asm.RFP, atPacket, asm.R1, asm.DWord))
	add(storeDouble(asm.RFP, atFollowed, 1), asm.Ja.Label("place"))
	mark("addresses", lookup(m.flows, atKey))
	add(asm.JEq.Imm(asm.R0, 0, "out"))

	// Which network it is in: of a packet without a device the socket knows it.
	netns := func(pointer asm.Register, offset uint32, to int16, done string) {
		add(readPointer(asm.R0, pointer, offset)...)
		add(asm.JEq.Imm(asm.R0, 0, done))
		add(probeRead(to, 4, asm.R0, o.netInode)...)
	}
	mark("place", readPointer(asm.R8, asm.R7, o.skbDev))
	add(asm.StoreMem(asm.RFP, atDevice, asm.R8, asm.DWord), asm.JEq.Imm(asm.R8, 0, "socket"))
	netns(asm.R8, o.devNet, atPlace+4, "whose")
	if reason == reasonQueued { // what a socket of this network sends is a new packet, though its memory was another's
		add(readPointer(asm.R8, asm.R7, o.skbSk)...)
		add(asm.JEq.Imm(asm.R8, 0, "whose"), asm.StoreImm(asm.RFP, atSocket, 0, asm.Word))
		netns(asm.R8, o.sockNet, atSocket, "whose")
		add(asm.LoadMem(asm.R1, asm.RFP, atSocket, asm.Word), asm.LoadMem(asm.R2, asm.RFP, atPlace+4, asm.Word), asm.JNE.Reg(asm.R1, asm.R2, "whose"))
		add(storeDouble(asm.RFP, atFollowed, 0))
		add(forget(m, atSkb)...)
		add(forget(m, atHead)...) // else it would pass for a clone of the packet that was there
	}
	add(asm.Ja.Label("whose"))
	mark("socket", readPointer(asm.R8, asm.R7, o.skbSk))
	add(asm.JEq.Imm(asm.R8, 0, "whose"))
	netns(asm.R8, o.sockNet, atPlace+4, "whose")

	mark("whose", lookup(m.flows, atKey))
	add(asm.Mov.Reg(asm.R8, asm.R0), asm.LoadMem(asm.R1, asm.RFP, atFollowed, asm.DWord), asm.JEq.Imm(asm.R1, 1, "followed"))
	add(asm.JEq.Imm(asm.R8, 0, "out"), asm.LoadMem(asm.R1, asm.R8, 0, asm.DWord), asm.StoreMem(asm.RFP, atPacket, asm.R1, asm.DWord))
	label("followed", asm.LoadMem(asm.R1, asm.RFP, atPacket, asm.Word))
	add(asm.JEq.Imm(asm.R1, 0, "out"), asm.StoreMem(asm.RFP, atPlace, asm.R1, asm.Word)) // others' packets stay others' wherever they come to
	add(lookup(m.places, atPlace)...)
	add(asm.LoadMem(asm.R1, asm.RFP, atFollowed, asm.DWord), asm.JEq.Imm(asm.R1, 1, "came"))
	add(asm.JEq.Imm(asm.R0, 0, "foreign"), asm.JNE.Imm(asm.R9, 0, "emit"))
	add(asm.LoadMem(asm.R1, asm.RFP, atWay, asm.Word), asm.JEq.Imm(asm.R1, wayBack, "follow"))
	add(asm.LoadMem(asm.R1, asm.R0, 4, asm.Word), asm.JEq.Imm(asm.R1, placeOwn, "follow"))
	// A clone of a packet that is followed and still there.
	add(lookup(m.packets, atHead)...)
	unless("foreign")
	add(asm.LoadMem(asm.R1, asm.R0, packetOwner, asm.DWord), asm.StoreMem(asm.RFP, atScratch, asm.R1, asm.DWord))
	add(lookup(m.packets, atScratch)...)
	unless("foreign")
	add(asm.LoadMem(asm.R1, asm.R0, 0, asm.Word), asm.LoadMem(asm.R2, asm.RFP, atPacket, asm.Word), asm.JNE.Reg(asm.R1, asm.R2, "foreign"))
	follow := func() { // R1 is 0 for a clone
		add(asm.StoreMem(asm.RFP, atPacket+packetOwner, asm.R1, asm.DWord), asm.LoadMem(asm.R1, asm.RFP, atIdent, asm.DWord), asm.StoreMem(asm.RFP, atPacket+packetIdent, asm.R1, asm.DWord))
		add(update(m.packets, atSkb, atPacket)...)
	}
	add(asm.Mov.Imm(asm.R1, 0))
	follow()
	add(asm.Ja.Label("emit"))
	label("foreign", asm.JNE.Imm(asm.R9, 0, "out"))
	add(storeDouble(asm.RFP, atPacket, 0), asm.Mov.Imm(asm.R1, 0))
	follow()
	add(asm.Ja.Label("out"))

	label("came", asm.Mov.Reg(asm.R9, asm.R0)) // the place, where it is known
	add(asm.JNE.Imm(asm.R8, 0, "arrived"))
	// NAT has changed its addresses; an answer's two are restored one after the other.
	add(update(m.flows, atKey, atPacket)...)
	add(asm.LoadMem(asm.R1, asm.RFP, atKey, asm.Word), asm.StoreMem(asm.RFP, atReverse, asm.R1, asm.Word))
	for _, c := range [][2]int16{{keyPorts, keyPorts + 2}, {keyPorts + 2, keyPorts}} {
		add(asm.LoadMem(asm.R1, asm.RFP, atKey+c[0], asm.Half), asm.StoreMem(asm.RFP, atReverse+c[1], asm.R1, asm.Half))
	}
	for _, c := range [][2]int16{{keySrc, keyDst}, {keySrc + 8, keyDst + 8}, {keyDst, keySrc}, {keyDst + 8, keySrc + 8}} {
		add(asm.LoadMem(asm.R1, asm.RFP, atKey+c[0], asm.DWord), asm.StoreMem(asm.RFP, atReverse+c[1], asm.R1, asm.DWord))
	}
	turn := func() {
		add(asm.LoadMem(asm.R1, asm.RFP, atWay, asm.Word), asm.Xor.Imm(asm.R1, wayBack), asm.StoreMem(asm.RFP, atWay, asm.R1, asm.Word))
	}
	turn()
	add(update(m.flows, atReverse, atPacket)...)
	turn()
	label("arrived", asm.JNE.Imm(asm.R9, 0, "follow"))
	add(asm.LoadMem(asm.R1, asm.RFP, atPlace+4, asm.Word), asm.JEq.Imm(asm.R1, 0, "follow"))
	add(update(m.places, atPlace, atNothing)...)
	label("follow", asm.Mov.Imm(asm.R9, 0))
	add(asm.Mov.Reg(asm.R1, asm.R7))
	follow()
	add(update(m.packets, atHead, atPacket)...)

	label("emit", asm.LoadMem(asm.R8, asm.RFP, atHead, asm.DWord))
	add(asm.LoadMem(asm.R1, asm.RFP, atNetwork, asm.Half), asm.Add.Reg(asm.R8, asm.R1)) // the network header
	add(asm.LoadMem(asm.R1, asm.RFP, atFragment+4, asm.Word))
	add(asm.JEq.Imm(asm.R1, 0, "reserve"))
	for at := int16(0); at < keySize; at += 8 { // what later fragments will be known by
		add(asm.LoadMem(asm.R1, asm.RFP, atKey+at, asm.DWord), asm.StoreMem(asm.RFP, atReverse+at, asm.R1, asm.DWord))
	}
	add(asm.StoreImm(asm.RFP, atReverse+keyLater, 1, asm.Byte))
	add(asm.LoadMem(asm.R1, asm.RFP, atFragment, asm.Word), asm.StoreMem(asm.RFP, atReverse+keyPorts, asm.R1, asm.Word))
	add(update(m.flows, atReverse, atPacket)...)

	label("reserve", asm.LoadMapPtr(asm.R1, m.events))
	add(asm.Mov.Imm(asm.R2, recordSize), asm.Mov.Imm(asm.R3, 0), asm.FnRingbufReserve.Call(), asm.JEq.Imm(asm.R0, 0, "lost"))
	add(asm.LoadMem(asm.R1, asm.RFP, atPacket, asm.Word), asm.StoreMem(asm.R0, recordID, asm.R1, asm.Word))
	add(asm.LoadMem(asm.R1, asm.RFP, atWay, asm.Word), asm.Or.Reg(asm.R1, asm.R9), asm.StoreMem(asm.R0, recordWay, asm.R1, asm.Word))
	add(asm.Mov.Reg(asm.R9, asm.R0))
	if reason == 0 {
		add(asm.LoadMem(asm.R1, asm.R6, 16, asm.DWord), asm.StoreMem(asm.R9, recordReason, asm.R1, asm.Word))
	} else {
		add(asm.StoreImm(asm.R9, recordReason, int64(reason), asm.Word))
	}
	add(asm.FnKtimeGetNs.Call(), asm.StoreMem(asm.R9, recordTime, asm.R0, asm.DWord))
	for i := int16(recordNetns); i < recordSize; i += 8 {
		if i != recordReason && i != recordLen {
			add(storeDouble(asm.R9, i, 0))
		}
	}
	add(asm.LoadMem(asm.R1, asm.RFP, atPlace+4, asm.Word), asm.StoreMem(asm.R9, recordNetns, asm.R1, asm.Word))
	into := func(at, size int32, src asm.Register, offset uint32) {
		add(asm.Mov.Reg(asm.R1, asm.R9), asm.Add.Imm(asm.R1, at), asm.Mov.Imm(asm.R2, size),
			asm.Mov.Reg(asm.R3, src), asm.Add.Imm(asm.R3, int32(offset)), asm.FnProbeReadKernel.Call()) //nolint:gosec // offsets of structs are small
	}
	// Its length from the network header on: where the packet begins for the kernel
	// differs from place to place.
	into(recordLen, 4, asm.R7, o.skbLen)
	add(readPointer(asm.R1, asm.R7, o.skbData)...)
	add(asm.Sub.Reg(asm.R1, asm.R8), asm.LoadMem(asm.R2, asm.R9, recordLen, asm.Word), asm.Add.Reg(asm.R1, asm.R2), asm.StoreMem(asm.R9, recordLen, asm.R1, asm.Word))
	// The packet from its network header on, and nothing behind its end.
	add(asm.LoadMem(asm.R2, asm.RFP, atTail, asm.Word), asm.LoadMem(asm.R1, asm.RFP, atNetwork, asm.Half), asm.JLE.Reg(asm.R2, asm.R1, "device"))
	add(asm.Sub.Reg(asm.R2, asm.R1), asm.JLE.Imm(asm.R2, packetBytes, "copy"), asm.Mov.Imm(asm.R2, packetBytes))
	label("copy", asm.StoreMem(asm.R9, recordCopied, asm.R2, asm.Word))
	add(asm.Mov.Reg(asm.R1, asm.R9), asm.Add.Imm(asm.R1, recordPacket), asm.Mov.Reg(asm.R3, asm.R8), asm.FnProbeReadKernel.Call())
	label("device", storeDouble(asm.RFP, atScratch, 0))
	add(probeRead(atScratch, 4, asm.R7, o.skbEnd)...) // where struct skb_shared_info is
	add(asm.LoadMem(asm.R8, asm.RFP, atHead, asm.DWord), asm.LoadMem(asm.R1, asm.RFP, atScratch, asm.DWord), asm.Add.Reg(asm.R8, asm.R1))
	into(recordSegment, 2, asm.R8, o.sharedSegment)
	add(asm.LoadMem(asm.R8, asm.RFP, atDevice, asm.DWord))
	add(asm.JEq.Imm(asm.R8, 0, "submit"))
	into(recordIndex, 4, asm.R8, o.devIndex)
	into(recordName, 16, asm.R8, o.devName)
	label("submit", asm.Mov.Reg(asm.R1, asm.R9))
	if reason == 0 { // the function that dropped, by name
		add(asm.LoadMem(asm.R2, asm.R6, 8, asm.DWord), asm.StoreMem(asm.RFP, atScratch, asm.R2, asm.DWord))
		add(asm.Add.Imm(asm.R1, recordFunction), asm.Mov.Imm(asm.R2, functionBytes), asm.LoadMapValue(asm.R3, m.format, 0),
			asm.Mov.Reg(asm.R4, asm.RFP), asm.Add.Imm(asm.R4, atScratch), asm.Mov.Imm(asm.R5, 8), asm.FnSnprintf.Call(), asm.Mov.Reg(asm.R1, asm.R9))
	}
	add(asm.Mov.Imm(asm.R2, 0), asm.FnRingbufSubmit.Call(), asm.Ja.Label("out"))
	label("lost", asm.LoadMapValue(asm.R1, m.lost, 0))
	add(asm.Mov.Imm(asm.R2, 1), asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, 0))
	if reason == 0 {
		mark("out", forget(m, atSkb))
		add(asm.Mov.Imm(asm.R0, 0))
	} else {
		label("out", asm.Mov.Imm(asm.R0, 0))
	}
	add(asm.Return())
	return append(p, parser()...)
}

// parser is a function: R1 is the kernel's address of an IP header, R2 where the
// result goes, R3 where the packet's bytes end. R0 is 1 for a packet with a key, 2 for
// an ICMP error, 0 for all else. No NAT changes ident, what the content begins with.
func parser() asm.Instructions {
	const ip, l4, end = -40, -72, -80
	const ident, address, key, fragment = 0, 8, 16, 56
	var p asm.Instructions
	add := func(is ...asm.Instruction) { p = append(p, is...) }
	label := func(name string, i asm.Instruction) { add(i.WithSymbol(name)) }
	copyTo := func(to, from int16, size asm.Size) {
		add(asm.LoadMem(asm.R1, asm.RFP, from, size), asm.StoreMem(asm.R7, to, asm.R1, size))
	}

	label("parse", asm.Mov.Reg(asm.R6, asm.R1))
	add(asm.Mov.Reg(asm.R7, asm.R2), asm.StoreMem(asm.RFP, end, asm.R3, asm.DWord))
	for at := int16(0); at <= fragment; at += 8 {
		add(storeDouble(asm.R7, at, 0))
	}
	add(probeRead(ip, 40, asm.R6, 0)...)
	add(asm.LoadMem(asm.R1, asm.RFP, ip, asm.Byte), asm.RSh.Imm(asm.R1, 4), asm.JEq.Imm(asm.R1, 6, "v6"), asm.JNE.Imm(asm.R1, 4, "none"))
	add(asm.LoadMem(asm.R8, asm.RFP, ip, asm.Byte), asm.And.Imm(asm.R8, 15), asm.LSh.Imm(asm.R8, 2))
	add(asm.LoadMem(asm.R9, asm.RFP, ip+9, asm.Byte))
	for _, a := range [][2]int16{{keySrc, 12}, {keyDst, 16}} { // ::ffff:a.b.c.d
		add(asm.StoreImm(asm.R7, key+a[0]+10, -1, asm.Half))
		copyTo(key+a[0]+12, ip+a[1], asm.Word)
	}
	// RFC 791: more fragments, and the offset of this one.
	add(asm.LoadMem(asm.R2, asm.RFP, ip+4, asm.Half), asm.LoadMem(asm.R1, asm.RFP, ip+6, asm.Half))
	add(asm.And.Imm(asm.R1, networkOrder(0x3fff)), asm.JEq.Imm(asm.R1, 0, "transport"), asm.And.Imm(asm.R1, networkOrder(0x1fff)), asm.Ja.Label("fragment"))

	label("v6", asm.Mov.Imm(asm.R8, 40))
	add(asm.LoadMem(asm.R9, asm.RFP, ip+6, asm.Byte))
	for at := int16(0); at < 32; at += 8 {
		copyTo(key+keySrc+at, ip+8+at, asm.DWord)
	}
	add(asm.JNE.Imm(asm.R9, headerFragment, "transport"))
	add(probeRead(l4, 8, asm.R6, 40)...)
	add(asm.Mov.Imm(asm.R8, 48), asm.LoadMem(asm.R9, asm.RFP, l4, asm.Byte), asm.LoadMem(asm.R2, asm.RFP, l4+4, asm.Word))
	add(asm.LoadMem(asm.R1, asm.RFP, l4+2, asm.Half), asm.And.Imm(asm.R1, networkOrder(0xfff8)))
	label("fragment", asm.StoreMem(asm.R7, fragment, asm.R2, asm.Word))
	add(asm.JNE.Imm(asm.R1, 0, "later"), asm.StoreImm(asm.R7, fragment+4, 1, asm.Word))

	label("transport", asm.Add.Reg(asm.R8, asm.R6))
	add(asm.StoreMem(asm.R7, address, asm.R8, asm.DWord), asm.StoreMem(asm.R7, key, asm.R9, asm.Byte))
	for at := int16(0); at < 32; at += 8 {
		add(storeDouble(asm.RFP, l4+at, 0))
	}
	add(asm.LoadMem(asm.R2, asm.RFP, end, asm.DWord), asm.Sub.Reg(asm.R2, asm.R8), asm.JSLT.Imm(asm.R2, 8, "none"))
	add(asm.JLE.Imm(asm.R2, 32, "read"), asm.Mov.Imm(asm.R2, 32))
	label("read", asm.Mov.Reg(asm.R1, asm.RFP))
	add(asm.Add.Imm(asm.R1, l4), asm.Mov.Reg(asm.R3, asm.R8), asm.FnProbeReadKernel.Call())
	add(asm.JEq.Imm(asm.R9, int32(TCP), "tcp"), asm.JEq.Imm(asm.R9, int32(UDP), "udp"))
	add(asm.LoadMem(asm.R1, asm.RFP, l4, asm.Byte), asm.JEq.Imm(asm.R9, int32(ICMPv6), "icmp6"), asm.JNE.Imm(asm.R9, int32(ICMP), "none"))
	for _, echo := range []int32{8, 0} {
		add(asm.JEq.Imm(asm.R1, echo, "echo"))
	}
	for _, failure := range []int32{3, 5, 11, 12} { // unreachable, redirect, time exceeded, parameter problem (RFC 792)
		add(asm.JEq.Imm(asm.R1, failure, "error"))
	}
	add(asm.Ja.Label("none"))
	label("icmp6", asm.JEq.Imm(asm.R1, 128, "echo"))
	add(asm.JEq.Imm(asm.R1, 129, "echo"), asm.JEq.Imm(asm.R1, 0, "none"), asm.JGT.Imm(asm.R1, 4, "none")) // 1 to 4 (RFC 4443)
	label("error", asm.Mov.Imm(asm.R0, 2))
	add(asm.Return())

	label("later", asm.StoreMem(asm.R7, key, asm.R9, asm.Byte))
	add(asm.StoreImm(asm.R7, key+keyLater, 1, asm.Byte), asm.StoreMem(asm.R7, key+keyPorts, asm.R2, asm.Word))
	add(asm.Mov.Imm(asm.R0, 1), asm.Return())

	label("tcp", asm.LoadMem(asm.R1, asm.RFP, l4, asm.Word))
	add(asm.StoreMem(asm.R7, key+keyPorts, asm.R1, asm.Word))
	copyTo(ident, l4+4, asm.Word)   // sequence
	copyTo(ident+4, l4+8, asm.Word) // acknowledgement
	add(asm.Ja.Label("identified"))
	// What NAT leaves of an echo beside its content: the type, and the number behind the
	// identifier.
	label("echo", asm.LoadMem(asm.R2, asm.RFP, l4+4, asm.Half))
	add(asm.StoreMem(asm.R7, key+keyPorts, asm.R2, asm.Half), asm.StoreMem(asm.R7, key+keyPorts+2, asm.R2, asm.Half))
	add(asm.LSh.Imm(asm.R1, 16), asm.LoadMem(asm.R2, asm.RFP, l4+6, asm.Half), asm.Or.Reg(asm.R1, asm.R2), asm.Ja.Label("content"))
	label("udp", asm.LoadMem(asm.R1, asm.RFP, l4, asm.Word))
	add(asm.StoreMem(asm.R7, key+keyPorts, asm.R1, asm.Word), asm.Mov.Imm(asm.R1, 0))
	// A hash of the first 24 bytes: of a DNS question the ID, and where the name begins.
	label("content", asm.Mul.Imm(asm.R1, 0x5bd1e995))
	for _, at := range []int16{8, 16, 24} {
		add(asm.LoadMem(asm.R2, asm.RFP, l4+at, asm.DWord), asm.Xor.Reg(asm.R1, asm.R2), asm.Mul.Imm(asm.R1, 0x5bd1e995))
	}
	add(asm.StoreMem(asm.R7, ident, asm.R1, asm.DWord))
	label("identified", asm.Mov.Imm(asm.R0, 1))
	add(asm.Return())
	label("none", asm.Mov.Imm(asm.R0, 0))
	add(asm.Return())
	return p
}

// networkOrder is a constant to compare a loaded header's 16 bits with.
func networkOrder(bits uint16) int32 {
	return int32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, bits)))
}

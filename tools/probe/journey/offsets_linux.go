package journey

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf/btf"
)

// offsets are where the running kernel keeps what a record holds, in bytes.
type offsets struct {
	skbDev, skbSk, skbLen, skbHead, skbData, skbTail, skbEnd, skbNetwork uint32
	sharedSegment                                                        uint32
	devNet, devIndex, devName                                            uint32
	sockNet                                                              uint32
	netInode                                                             uint32
	reasons                                                              map[uint32]string // enum skb_drop_reason, without its prefix
}

// readOffsets reads the kernel's BTF. It takes some 10 ms and tens of megabytes, which
// the garbage collector takes back.
func readOffsets() (*offsets, error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, fmt.Errorf("the kernel's types (BTF): %w", err)
	}
	o := &offsets{}
	for _, want := range []struct {
		to   *uint32
		typ  string
		path []string
	}{
		{&o.skbDev, "sk_buff", []string{"dev"}},
		{&o.skbSk, "sk_buff", []string{"sk"}},
		{&o.skbLen, "sk_buff", []string{"len"}},
		{&o.skbHead, "sk_buff", []string{"head"}},
		{&o.skbData, "sk_buff", []string{"data"}},
		{&o.skbTail, "sk_buff", []string{"tail"}},
		{&o.skbEnd, "sk_buff", []string{"end"}},
		{&o.skbNetwork, "sk_buff", []string{"network_header"}},
		{&o.sharedSegment, "skb_shared_info", []string{"gso_size"}},
		{&o.devNet, "net_device", []string{"nd_net"}},
		{&o.devIndex, "net_device", []string{"ifindex"}},
		{&o.devName, "net_device", []string{"name"}},
		{&o.sockNet, "sock_common", []string{"skc_net"}},
		{&o.netInode, "net", []string{"ns", "inum"}},
	} {
		var t *btf.Struct
		if err := spec.TypeByName(want.typ, &t); err != nil {
			return nil, fmt.Errorf("struct %s in the kernel's types: %w", want.typ, err)
		}
		if *want.to, err = offsetOf(t.Members, want.path); err != nil {
			return nil, fmt.Errorf("struct %s in the kernel's types: %w", want.typ, err)
		}
	}
	o.reasons, err = dropReasons(spec)
	return o, err
}

// offsetOf follows a path of members; those without a name are looked into.
func offsetOf(members []btf.Member, path []string) (uint32, error) {
	offset, typ, ok := find(members, path[0])
	if !ok {
		return 0, fmt.Errorf("no member %s", path[0])
	}
	if len(path) == 1 {
		return offset, nil
	}
	inner, ok := typ.(*btf.Struct)
	if !ok {
		return 0, fmt.Errorf("member %s is no struct", path[0])
	}
	rest, err := offsetOf(inner.Members, path[1:])
	return offset + rest, err
}

func find(members []btf.Member, name string) (uint32, btf.Type, bool) {
	for _, m := range members {
		typ := btf.UnderlyingType(m.Type)
		if m.Name == name {
			return m.Offset.Bytes(), typ, true
		}
		if m.Name != "" {
			continue
		}
		var inner []btf.Member
		switch t := typ.(type) {
		case *btf.Struct:
			inner = t.Members
		case *btf.Union:
			inner = t.Members
		}
		if offset, typ, ok := find(inner, name); ok {
			return m.Offset.Bytes() + offset, typ, true
		}
	}
	return 0, nil, false
}

// dropReasons are there since Linux 5.17; without them a dropped packet cannot be told
// from one that was used up.
func dropReasons(spec *btf.Spec) (map[uint32]string, error) {
	var enum *btf.Enum
	if err := spec.TypeByName("skb_drop_reason", &enum); err != nil {
		return nil, errors.New("this kernel gives no drop reasons (before Linux 5.17)")
	}
	names := make(map[uint32]string, len(enum.Values))
	for _, v := range enum.Values {
		names[uint32(v.Value)] = trimReason(v.Name) //nolint:gosec // an enum of 32 bits
	}
	return names, nil
}

package attempt

import (
	"maps"
	"testing"
)

const snmp = `Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates OutTransmits
Ip: 1 64 100 0 2 0 0 0 100 100 3 4 0 0 0 0 0 0 0 104
Icmp: InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds
Icmp: 5 0 0 5 0
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors
Tcp: 1 200 120000 -1 7 6 5 4 3 20 22 9 0 8 1
`

func TestCountersReadEachFormat(t *testing.T) {
	t.Parallel()
	got := Moved(nil, []byte(snmp+"TcpExt: SyncookiesSent TCPSynRetrans\nTcpExt: 0 12\nIpExt: InNoRoutes\nIpExt: 3\n"+
		"Ip6InReceives                   \t10\nIp6OutNoRoutes                  \t6\n"), wanted[:])
	want := map[string]uint64{
		"Ip.InAddrErrors": 2, "Ip.OutDiscards": 3, "Ip.OutNoRoutes": 4, "Icmp.InDestUnreachs": 5,
		"Tcp.AttemptFails": 5, "Tcp.EstabResets": 4, "Tcp.RetransSegs": 9, "Tcp.OutRsts": 8, "Tcp.InCsumErrors": 1,
		"TcpExt.TCPSynRetrans": 12, "Ip6OutNoRoutes": 6,
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
}

func TestMovedLeavesOutWhatStoodStillOrShrank(t *testing.T) {
	t.Parallel()
	before, after := []byte("Tcp: OutRsts InErrs RetransSegs\nTcp: 5 9 1\n"), []byte("Tcp: OutRsts InErrs RetransSegs\nTcp: 5 3 4\n")
	if got := Moved(before, after, wanted[:]); !maps.Equal(got, map[string]uint64{"Tcp.RetransSegs": 3}) {
		t.Errorf("%v", got)
	}
	if got := Moved(before, before, wanted[:]); got != nil {
		t.Errorf("%v, want nil", got)
	}
}

func TestCountersOutOfStep(t *testing.T) {
	t.Parallel()
	got := Moved(nil, []byte("garbage\nTcp: OutRsts\nTcp: 4\nIp: OutDiscards\nTcp: RetransSegs\nTcp: 2 7\n"), wanted[:])
	if want := map[string]uint64{"Tcp.OutRsts": 4, "Tcp.RetransSegs": 2}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func FuzzCounters(f *testing.F) {
	f.Add(snmp)
	f.Add("Tcp: \nTcp: \n")
	f.Add("Ip6OutNoRoutes 1")
	f.Fuzz(func(_ *testing.T, text string) { parseCounters(text) })
}

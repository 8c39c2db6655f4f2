package loopback

import (
	"net"
	"strconv"
	"testing"
)

func TestPortsAreFreeDifferentAndNoClients(t *testing.T) {
	ports, err := Ports(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if seen[port] {
			t.Errorf("port %d twice", port)
		}
		seen[port] = true
		if port < lowest || port >= ephemeral() {
			t.Errorf("port %d is outside of [%d, %d)", port, lowest, ephemeral())
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			t.Errorf("port %d is taken: %v", port, err)
			continue
		}
		if Free(port) == nil {
			t.Errorf("port %d passes for free while somebody listens", port)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

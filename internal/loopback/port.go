// Package loopback picks ports of 127.0.0.1 for servers that have to come back at the same address.
package loopback

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
)

// lowest is where the search begins: below lie the well-known services.
const lowest = 20_000

// Port returns a port of 127.0.0.1 that nobody listens on now. It lies below the range that the kernel takes outgoing
// connections' ports from: while a server is down, no client can sit on its port.
func Port() (int, error) {
	end := ephemeral()
	if end <= lowest {
		return 0, errors.New("loopback: the kernel's range of ports for outgoing connections begins too low")
	}
	var last error
	for range 100 {
		port := lowest + rand.IntN(end-lowest) //nolint:gosec // a port is no secret
		if last = Free(port); last == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("loopback: no free port: %w", last)
}

// Ports returns n different ports like Port's.
func Ports(n int) ([]int, error) {
	ports := make([]int, 0, n)
	taken := make(map[int]bool, n)
	for len(ports) < n {
		port, err := Port()
		if err != nil {
			return nil, err
		}
		if !taken[port] {
			taken[port] = true
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// Free returns nil when nobody listens on the port of 127.0.0.1, else the kernel's error.
func Free(port int) error {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return err
	}
	return l.Close()
}

// ephemeral is the lowest port of outgoing connections: Linux tells, the others begin at 49152.
func ephemeral() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 49_152
	}
	words := strings.Fields(string(text))
	if len(words) == 0 {
		return 49_152
	}
	low, err := strconv.Atoi(words[0])
	if err != nil {
		return 49_152
	}
	return low
}

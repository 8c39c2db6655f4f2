package connectors

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"lockstep/schema"
)

// resolver is a name server in this process.
type resolver struct {
	mu     sync.Mutex
	asked  map[string]int
	answer func(name string, n int) []net.IP
}

// resolve makes a transport ask it.
func resolve(r *resolver) func(*TransportConfig) {
	return func(c *TransportConfig) {
		c.AllowLoopback = false
		c.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go r.serve(server)
			return client, nil
		}}
	}
}

// serve answers questions in the stream form of DNS (RFC 1035, 4.2.2): A questions with the addresses, AAAA with none.
func (r *resolver) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	for {
		var length uint16
		if binary.Read(c, binary.BigEndian, &length) != nil {
			return
		}
		question := make([]byte, length)
		if _, err := io.ReadFull(c, question); err != nil {
			return
		}
		name, end := questionName(question)
		isA := binary.BigEndian.Uint16(question[end:]) == 1
		answers := []net.IP{}
		if isA {
			r.mu.Lock()
			if r.asked == nil {
				r.asked = map[string]int{}
			}
			r.asked[name]++
			answers = r.answer(name, r.asked[name])
			r.mu.Unlock()
		}
		message := append([]byte{}, question[:end+4]...)
		code := byte(0)
		if isA && answers == nil {
			code = 3 // no such name
		}
		message[2], message[3] = 0x81, 0x80|code
		binary.BigEndian.PutUint16(message[6:], uint16(len(answers)))
		binary.BigEndian.PutUint16(message[8:], 0)
		binary.BigEndian.PutUint16(message[10:], 0)
		for _, ip := range answers {
			message = append(message, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
			message = append(message, ip.To4()...)
		}
		framed := binary.BigEndian.AppendUint16(nil, uint16(len(message)))
		if _, err := c.Write(append(framed, message...)); err != nil {
			return
		}
	}
}

func questionName(q []byte) (name string, end int) {
	labels := []string{}
	for end = 12; q[end] != 0; end += int(q[end]) + 1 {
		labels = append(labels, string(q[end+1:end+1+int(q[end])]))
	}
	return strings.Join(labels, "."), end + 1
}

// forbidden are addresses that no vendor has, one or more of each rule.
var forbidden = []string{
	"127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "172.16.0.1",
	"172.31.255.255", "192.168.0.1", "192.168.255.255", "169.254.0.1", "169.254.169.254", "169.254.170.2", "100.64.0.1",
	"100.100.100.200", "100.127.255.255", "168.63.129.16", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1",
	"198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
}

var forbidden6 = []string{
	"::", "::1", "::2", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8",
	"64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::",
	"2001:db8::1", "fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1", "fe80::1%lo", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
	"100::1", "3fff::1", "5f00::1",
}

func TestA23Addresses(t *testing.T) {
	for _, text := range append(append([]string{}, forbidden...), forbidden6...) {
		if admit(netip.MustParseAddr(text), false) {
			t.Errorf("%s is admitted", text)
		}
	}
	for _, text := range []string{"8.8.8.8", "13.110.54.1", "52.0.0.1", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "2a00::1"} {
		if !admit(netip.MustParseAddr(text), false) {
			t.Errorf("%s is not admitted", text)
		}
	}
	for _, text := range []string{"127.0.0.1", "::1"} {
		if !admit(netip.MustParseAddr(text), true) {
			t.Errorf("%s is not admitted where loopback is", text)
		}
	}
	for _, text := range []string{"10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fd00:ec2::254"} {
		if admit(netip.MustParseAddr(text), true) {
			t.Errorf("%s is admitted where loopback is", text)
		}
	}
}

// hostForms spells an address in the ways that URL parsers and resolvers have fallen for.
func hostForms(text string) []string {
	a := netip.MustParseAddr(text)
	if a.Is6() {
		return []string{"[" + strings.ReplaceAll(text, "%", "%25") + "]"}
	}
	b := a.As4()
	n := binary.BigEndian.Uint32(b[:])
	return []string{
		text, text + ".", fmt.Sprint(n), fmt.Sprintf("0x%x", n), fmt.Sprintf("0%o", n),
		fmt.Sprintf("0x%x.0x%x.0x%x.0x%x", b[0], b[1], b[2], b[3]), fmt.Sprintf("0%o.0%o.0%o.0%o", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("%d.%d", b[0], n&0xffffff), "[::ffff:" + text + "]", fmt.Sprintf("[64:ff9b::%x:%x]", n>>16, n&0xffff),
		fmt.Sprintf("[2002:%x:%x::1]", n>>16, n&0xffff), text + ".nip.example", "name-of-" + strings.ReplaceAll(text, ".", "-") + ".example",
	}
}

// A23: whatever an endpoint is spelt like, and whatever its name resolves to, no connection leads to a forbidden
// address, not even where the configuration itself names it.
func TestA23SSRF(t *testing.T) {
	sentinel, _ := listen(t, func(*wire, int64, net.Conn) {})
	port := sentinel.listener.Addr().(*net.TCPAddr).Port
	urls := []string{}
	for _, address := range append(append([]string{}, forbidden...), forbidden6...) {
		for _, host := range hostForms(address) {
			urls = append(urls, fmt.Sprintf("https://%s:%d", host, port))
		}
	}
	for _, form := range []string{
		"http://127.0.0.1:%d", "http://localhost:%d", "https://user@127.0.0.1:%d", "https://crm.example:443@127.0.0.1:%d",
		"https://127.0.0.1:%d#@crm.example", "https://127.0.0.1:%d?@crm.example", "https://crm.example\\@127.0.0.1:%d",
		"//127.0.0.1:%d", "file://127.0.0.1:%d/etc/passwd", "gopher://127.0.0.1:%d", "ftp://127.0.0.1:%d", "https:127.0.0.1:%d",
		"https:///127.0.0.1:%d", "https://127.0.0.1:%d/../x", "https://127.0.0.1:%d//x", "https://127.0.0.1:%d/%%2e%%2e/x",
		"https://①②⑦.⓪.⓪.①:%d", "https://127。0。0。1:%d", "https://localhost:%d", "https://LOCALHOST:%d", "https://localhost.:%d",
		"https://127.0.0.1%%00.crm.example:%d", "https://127.0.0.1%%09:%d", "https://[::1%%25lo]:%d", "HTTPS://127.0.0.1:%d",
		"unix://127.0.0.1:%d", "data:%d", "javascript:%d", "https://127.0.0.1:%d:443", "https://[127.0.0.1]:%d", "jar:https://127.0.0.1:%d",
	} {
		urls = append(urls, fmt.Sprintf(form, port))
	}
	if len(urls) < 300 {
		t.Fatalf("only %d forms", len(urls))
	}
	toLoopback := &resolver{answer: func(string, int) []net.IP { return []net.IP{net.IPv4(127, 0, 0, 1)} }}
	for _, form := range urls {
		host := form
		if base, err := ParseBase(form, false); err == nil {
			host = Authority(base)
		}
		transport, err := NewTransport(withResolver(TransportConfig{System: "crm", Hosts: []string{host}}, toLoopback))
		if err != nil {
			t.Fatal(err)
		}
		_, err = transport.Do(t.Context(), Request{Method: http.MethodGet, Base: form, Route: "/latest/meta-data"})
		if kind, ok := KindOf(err); !ok || kind != schema.Unavailable {
			t.Errorf("%s: %v, want a refusal", form, err)
		}
		transport.Close()
	}
	if n := sentinel.accepted.Load(); n != 0 {
		t.Errorf("the sentinel saw %d connects, want 0", n)
	}
	t.Logf("%d URL forms", len(urls))
}

func withResolver(c TransportConfig, r *resolver) TransportConfig {
	resolve(r)(&c)
	return c
}

// A23: the address that counts is the one of the connect, not one that a name had a moment ago.
func TestA23Rebinding(t *testing.T) {
	sentinel, _ := listen(t, func(*wire, int64, net.Conn) {})
	port := sentinel.listener.Addr().(*net.TCPAddr).Port
	base := fmt.Sprintf("https://crm.example:%d", port)
	rebinding := &resolver{answer: func(_ string, n int) []net.IP {
		if n%2 == 1 {
			return []net.IP{net.IPv4(169, 254, 169, 254), net.IPv4(10, 0, 0, 1)}
		}
		return []net.IP{net.IPv4(127, 0, 0, 1)}
	}}
	transport := reach(t, base, resolve(rebinding))
	for range 20 {
		_, err := transport.Do(t.Context(), Request{Method: http.MethodGet, Base: base, Route: "/things"})
		var e *Error
		if !asError(err, &e) || e.Code != CodeAddressDenied {
			t.Fatalf("%v, want %s", err, CodeAddressDenied)
		}
	}
	if n := sentinel.accepted.Load(); n != 0 {
		t.Errorf("the sentinel saw %d connects, want 0", n)
	}
}

// Plain HTTP is for this machine only, even where loopback is allowed.
func TestA23PlainHTTPStaysOnThisMachine(t *testing.T) {
	base := "http://vendor.example"
	public := &resolver{answer: func(string, int) []net.IP { return []net.IP{net.IPv4(8, 8, 8, 8)} }}
	transport := reach(t, base, resolve(public), func(c *TransportConfig) {
		c.AllowLoopback = true
		c.Hosts = []string{"vendor.example:80"}
	})
	_, err := transport.Do(t.Context(), Request{Method: http.MethodGet, Base: base, Route: "/things"})
	var e *Error
	if !asError(err, &e) || e.Code != CodeAddressDenied {
		t.Errorf("%v, want %s", err, CodeAddressDenied)
	}
}

func TestHostSuffix(t *testing.T) {
	if _, err := NewTransport(TransportConfig{System: "crm", HostSuffix: "salesforce.com"}); err == nil {
		t.Error("a suffix of two labels is taken")
	}
	transport, err := NewTransport(TransportConfig{System: "crm", Hosts: []string{"login.example.com"}, HostSuffix: "my.salesforce.com"})
	if err != nil {
		t.Fatal(err)
	}
	for base, want := range map[string]bool{
		"https://acme.my.salesforce.com": true, "https://ACME.my.salesforce.com": true, "https://acme.my.salesforce.com:443": true,
		"https://login.example.com": true, "https://my.salesforce.com": false, "https://evilmy.salesforce.com": false,
		"https://acme.my.salesforce.com.evil.example": false, "https://acme.my.salesforce.com:8443": false,
		"http://acme.my.salesforce.com": false, "https://user@acme.my.salesforce.com": false, "https://login.example.com:444": false,
	} {
		if got := transport.Allows(base); got != want {
			t.Errorf("%s: %t, want %t", base, got, want)
		}
	}
}
